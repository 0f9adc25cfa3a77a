// Short messages at the foot of the page, and the live region that reads them and other news to screen readers.
import { html } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { createStore, useStore } from "../state.js";
import { Icon } from "./icons.js";

const SHOWN_MS = 7000;

/** @typedef {{id: number, text: string, action?: {label: string, run: () => void}}} Toast */

const toasts = createStore({ list: /** @type {Toast[]} */ ([]), spoken: "" });
let lastId = 0;

/**
 * Shows a message for some seconds, with one action where given.
 * @param {string} text
 * @param {{label: string, run: () => void}} [action]
 */
export function showToast(text, action) {
  lastId += 1;
  const id = lastId;
  toasts.set((state) => ({ list: [...state.list.slice(-2), { id, text, action }], spoken: text }));
  setTimeout(() => hide(id), SHOWN_MS);
}

/** Has screen readers say a text, without showing it. @param {string} text */
export function announce(text) {
  toasts.set({ spoken: "" });
  setTimeout(() => toasts.set({ spoken: text }), 50);
}

/** @param {number} id */
function hide(id) {
  toasts.set((state) => ({ list: state.list.filter((toast) => toast.id !== id) }));
}

export function Toasts() {
  const list = useStore(toasts, (state) => state.list);
  const spoken = useStore(toasts, (state) => state.spoken);
  return html`
    <div class="hidden-text" role="status" aria-live="polite">${spoken}</div>
    <div class="toasts">
      ${list.map(
        (toast) => html`<div class="toast" key=${toast.id}>
        <span class="grow">${toast.text}</span>
        ${
          toast.action &&
          html`<button class="button" type="button"
          onClick=${() => {
            toast.action?.run();
            hide(toast.id);
          }}>${toast.action.label}</button>`
        }
        <button class="button icon" type="button" aria-label=${t("page.close")} onClick=${() => hide(toast.id)}>
          <${Icon} name="close" size=${18} />
        </button>
      </div>`,
      )}
    </div>`;
}
