// Form fields with a label, a hint and the error that the server or the page has about them.
import { html } from "../../vendor/htm-preact.js";

let lastId = 0;

/** An id for a field's control, the same for each rendering. @param {{current: string | null}} ref */
export function takeId(ref) {
  if (!ref.current) {
    lastId += 1;
    ref.current = `field-${lastId}`;
  }
  return ref.current;
}

/**
 * @param {{id: string, label: string, hint?: string, error?: string, children?: unknown}} props
 *   `children`: the control, which has this id and `aria-describedby=describeField(...)`
 */
export function Field({ id, label, hint, error, children }) {
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${children}
    ${error && html`<p class="field-error" id=${`${id}-error`} role="alert">${error}</p>`}
    ${hint && !error && html`<p class="field-hint" id=${`${id}-hint`}>${hint}</p>`}
  </div>`;
}

/**
 * The attributes of a control that tie it to its field's texts.
 * @param {string} id
 * @param {string} [hint]
 * @param {string} [error]
 */
export function describeField(id, hint, error) {
  return {
    id,
    "aria-invalid": error ? "true" : undefined,
    "aria-describedby": error ? `${id}-error` : hint ? `${id}-hint` : undefined,
  };
}

/**
 * @param {{id: string, label: string, value: string, options: {value: string, label: string}[], hint?: string,
 * error?: string,
 *   disabled?: boolean, onChange: (value: string) => void}} props
 */
export function SelectField({ id, label, value, options, hint, error, disabled, onChange }) {
  return html`<${Field} id=${id} label=${label} hint=${hint} error=${error}>
    <select class="select" value=${value} disabled=${disabled} ...${describeField(id, hint, error)}
      onChange=${(/** @type {any} */ event) => onChange(event.target.value)}>
      ${options.map((option) => html`<option key=${option.value} value=${option.value} selected=${option.value === value}>${option.label}</option>`)}
    </select>
  <//>`;
}

/**
 * @param {{id: string, label: string, value: string, hint?: string, error?: string, type?: string, placeholder?:
 * string,
 *   onInput: (value: string) => void} & Record<string, unknown>} props
 */
export function TextField({ id, label, value, hint, error, type = "text", onInput, ...rest }) {
  return html`<${Field} id=${id} label=${label} hint=${hint} error=${error}>
    <input class="input" type=${type} value=${value} autocomplete="off" ...${describeField(id, hint, error)} ...${rest}
      onInput=${(/** @type {any} */ event) => onInput(event.target.value)} />
  <//>`;
}

/**
 * A switch.
 * @param {{label: string, checked: boolean, onChange: (checked: boolean) => void} & Record<string, unknown>} props
 */
export function Check({ label, checked, onChange, ...rest }) {
  return html`<label class="check">
    <input type="checkbox" role="switch" checked=${checked} ...${rest}
      onChange=${(/** @type {any} */ event) => onChange(event.target.checked)} />
    <span>${label}</span>
  </label>`;
}
