// The page's texts in the reader's language: t("key", {name: value}).
import { createStore } from "./state.js";
import { LOCALES, STRINGS } from "./strings.js";

const KEPT_AS = "neuron-whisper.locale";

export const locale = createStore({ code: findLocale() });

/**
 * The text of a key, with {name} replaced by values.name. A key that is missing is shown as it is, a test finds it.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function t(key, values = {}) {
  const text = STRINGS[key]?.[LOCALES.indexOf(locale.get().code)] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** Shows the page in this language from now on, and when it is opened again. @param {string} code one of LOCALES */
export function chooseLocale(code) {
  if (!LOCALES.includes(code)) throw new Error(`locale: ${code} is not one of ${LOCALES.join(", ")}`);
  document.documentElement.lang = code;
  try {
    localStorage.setItem(KEPT_AS, code);
  } catch {
    // a browser that keeps nothing: the choice holds until the page is closed
  }
  locale.set({ code });
}

/** The language that was chosen before, or the first of the browser's that the page has, or English. */
function findLocale() {
  const wanted = [];
  try {
    wanted.push(localStorage.getItem(KEPT_AS));
  } catch {
    // no storage: the browser's languages decide
  }
  wanted.push(...(globalThis.navigator?.languages ?? []));
  for (const name of wanted) {
    const code = name?.split("-")[0].toLowerCase();
    if (code && LOCALES.includes(code)) return code;
  }
  return "en";
}
