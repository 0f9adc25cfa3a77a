// A modal dialog: the browser's own, which keeps the focus inside and closes with Escape.
import { html, useEffect, useRef } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { Button } from "./Button.js";

/** @param {{title: string, onClose: () => void, children?: unknown}} props */
export function Dialog({ title, onClose, children }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return html`<dialog class="dialog" ref=${dialog} aria-labelledby="dialog-title"
    onCancel=${(/** @type {Event} */ event) => {
      event.preventDefault();
      onClose();
    }}
    onClick=${(/** @type {Event} */ event) => {
      if (event.target === dialog.current) onClose();
    }}>
    <div class="dialog-head">
      <h2 id="dialog-title">${title}</h2>
      <${Button} icon="close" kind="plain" label=${t("page.close")} onClick=${onClose} />
    </div>
    ${children}
  </dialog>`;
}
