// A button with an icon, a text or both; without a text its label is for screen readers and a tooltip.
import { html } from "../../vendor/htm-preact.js";
import { Icon } from "./icons.js";

/**
 * @param {{icon?: string, label?: string, kind?: string, disabled?: boolean, pressed?: boolean, type?: string,
 *   onClick?: (event: Event) => void, children?: unknown} & Record<string, unknown>} props
 *   `label`: the name where there is no text; `kind`: primary, plain, bad, round
 */
export function Button({ icon, label, kind = "", pressed, children, type = "button", ...rest }) {
  const bare = children == null || children === false;
  return html`<button type=${type} class=${`button ${kind}${bare ? " icon" : ""}`}
    aria-label=${bare ? label : undefined} title=${label} aria-pressed=${pressed === undefined ? undefined : String(pressed)} ...${rest}>
    ${icon && html`<${Icon} name=${icon} size=${bare ? 20 : 18} />`}${children}
  </button>`;
}
