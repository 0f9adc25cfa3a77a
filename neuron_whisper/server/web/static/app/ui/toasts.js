// Short messages at the foot of the page, and the live region that reads them and other news to screen readers.
import { html } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { createStore, useStore } from "../state.js";
import { Icon } from "./icons.js";

const SHOWN_MS = 7000;
const MOST_SHOWN = 3;

/**
 * @typedef {object} Toast
 * @property {number} id
 * @property {string} text
 * @property {{label: string, run: () => void}} [action]
 * @property {() => void} [onEnd] called when it goes and the action was not chosen
 */

const toasts = createStore({ list: /** @type {Toast[]} */ ([]), spoken: "" });
/** @type {Map<number, ReturnType<typeof setTimeout>>} */
const timers = new Map();
let lastId = 0;

/**
 * Shows a message for some seconds, and for as long as the pointer or the focus is on it.
 * @param {string} text
 * @param {Toast["action"]} [action]
 * @param {Toast["onEnd"]} [onEnd]
 */
export function showToast(text, action, onEnd) {
  lastId += 1;
  toasts.set((state) => ({ list: [...state.list, { id: lastId, text, action, onEnd }], spoken: text }));
  wait(lastId);
  for (const toast of toasts.get().list.slice(0, -MOST_SHOWN)) hide(toast);
}

/** Takes all messages away, as when the page is closed. */
export function endToasts() {
  for (const toast of toasts.get().list) hide(toast);
}

/** Has screen readers say a text, without showing it. @param {string} text */
export function announce(text) {
  toasts.set({ spoken: "" });
  setTimeout(() => toasts.set({ spoken: text }), 50);
}

/** @param {number} id */
function wait(id) {
  clearTimeout(timers.get(id));
  timers.set(
    id,
    setTimeout(() => {
      const toast = toasts.get().list.find((one) => one.id === id);
      if (toast) hide(toast);
    }, SHOWN_MS),
  );
}

/** @param {number} id */
function stay(id) {
  clearTimeout(timers.get(id));
}

/** @param {Toast} toast @param {boolean} [isChosen] its action was */
function hide(toast, isChosen = false) {
  stay(toast.id);
  timers.delete(toast.id);
  toasts.set((state) => ({ list: state.list.filter(({ id }) => id !== toast.id) }));
  if (isChosen) toast.action?.run();
  else toast.onEnd?.();
}

export function Toasts() {
  const list = useStore(toasts, (state) => state.list);
  const spoken = useStore(toasts, (state) => state.spoken);
  return html`
    <div class="hidden-text" role="status" aria-live="polite">${spoken}</div>
    <div class="toasts">
      ${list.map(
        (toast) => html`<div class="toast" key=${toast.id} onMouseEnter=${() => stay(toast.id)}
        onMouseLeave=${() => wait(toast.id)} onFocusIn=${() => stay(toast.id)} onFocusOut=${() => wait(toast.id)}>
        <span class="grow">${toast.text}</span>
        ${toast.action && html`<button class="button" type="button" onClick=${() => hide(toast, true)}>${toast.action.label}</button>`}
        <button class="button icon" type="button" aria-label=${t("page.close")} onClick=${() => hide(toast)}>
          <${Icon} name="close" size=${18} />
        </button>
      </div>`,
      )}
    </div>`;
}
