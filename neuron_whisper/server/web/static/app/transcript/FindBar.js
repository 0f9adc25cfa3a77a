// Finds and replaces text: count, next and previous, one or all.
import { html, useLayoutEffect, useRef } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { Button } from "../ui/Button.js";
import { Check } from "../ui/Field.js";

/**
 * @typedef {object} Find
 * @property {string} query
 * @property {string} replacement
 * @property {boolean} matchCase
 * @property {number} at index of the match that is shown
 */
/**
 * @param {{find: Find, asked: number, count: number, canReplace: boolean, onChange: (patch: Partial<Find>) => void,
 *   onStep: (step: 1 | -1) => void, onReplace: (all: boolean) => void, onClose: () => void}} props
 */
export function FindBar({ find, asked, count, canReplace, onChange, onStep, onReplace, onClose }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  // at once: what is typed behind the key that opened it goes here; `asked` changes when it is asked for again
  useLayoutEffect(() => field.current?.select(), [asked]);
  // the pressed button of the last match is disabled, and the focus with it
  useLayoutEffect(() => {
    if (!count && document.activeElement?.matches(".find-bar :disabled")) field.current?.focus();
  }, [count]);
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (event.isComposing) return;
    if (event.key === "Escape") onClose();
    else if (event.key === "Enter" && event.target === field.current) onStep(event.shiftKey ? -1 : 1);
    else return;
    event.preventDefault();
  };
  const found = count ? t("transcript.findCount", { n: find.at + 1, total: count }) : t("transcript.findNone");
  return html`<form class="find-bar" role="search" aria-label=${t("transcript.find")} onKeyDown=${onKeyDown}
    onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
    <div class="find-row">
      <input class="input" ref=${field} type="search" autocomplete="off" aria-label=${t("transcript.find")} placeholder=${t("transcript.find")}
        value=${find.query} onInput=${(/** @type {any} */ event) => onChange({ query: event.target.value })} />
      <span class="find-count" role="status">${find.query && found}</span>
      <${Button} icon="up" label=${t("transcript.findPrevious")} disabled=${!count} onClick=${() => onStep(-1)} />
      <${Button} icon="down" label=${t("transcript.findNext")} disabled=${!count} onClick=${() => onStep(1)} />
      <${Check} label=${t("transcript.matchCase")} checked=${find.matchCase} onChange=${(/** @type {boolean} */ matchCase) => onChange({ matchCase })} />
      <${Button} icon="close" kind="plain" label=${t("transcript.findClose")} onClick=${onClose} />
    </div>
    ${canReplace && html`<div class="find-row">
      <input class="input" type="text" autocomplete="off" aria-label=${t("transcript.replaceWith")} placeholder=${t("transcript.replaceWith")}
        value=${find.replacement} onInput=${(/** @type {any} */ event) => onChange({ replacement: event.target.value })} />
      <${Button} disabled=${!count} onClick=${() => onReplace(false)}>${t("transcript.replace")}<//>
      <${Button} disabled=${!count} onClick=${() => onReplace(true)}>${t("transcript.replaceAll")}<//>
    </div>`}
  </form>`;
}
