// The API key: kept until the tab is closed, or by choice on this device.
import { config } from "../config.js";
import { createStore } from "../state.js";

const KEPT_AS = "neuron-whisper.key";

/** `asks`: the dialog is open; `problem`: why it was opened ("" when the reader opened it) */
export const apiKey = createStore({ value: "", isKept: false, asks: false, problem: "", ...readKey() });

/** @param {string} value "" forgets the key @param {boolean} isKept on this device, beyond this tab */
export function setKey(value, isKept) {
  try {
    sessionStorage.removeItem(KEPT_AS);
    localStorage.removeItem(KEPT_AS);
    if (value) (isKept ? localStorage : sessionStorage).setItem(KEPT_AS, value);
  } catch {
    // a browser that keeps nothing: the key holds until the page is closed
  }
  apiKey.set({ value, isKept, asks: false, problem: "" });
}

/** Whether the server wants a key and there is none. */
export function lacksKey() {
  return config.hasKeys && !apiKey.get().value;
}

/** Opens the dialog. @param {"" | "missing" | "wrong"} [problem] */
export function askForKey(problem = "") {
  apiKey.set({ asks: true, problem });
}

function readKey() {
  try {
    const kept = localStorage.getItem(KEPT_AS);
    return { value: kept ?? sessionStorage.getItem(KEPT_AS) ?? "", isKept: kept !== null };
  } catch {
    return {};
  }
}
