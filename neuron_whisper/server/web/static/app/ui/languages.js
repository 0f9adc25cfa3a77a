// Names of spoken languages in the page's language, from a code or from the English name that a transcript has.
import { config } from "../config.js";
import { locale } from "../i18n.js";

/** @param {string} language a code such as "de", or a name such as "german" */
export function nameLanguage(language) {
  const known = config.languages.find(({ code, name }) => code === language || name.toLowerCase() === language);
  const given = known?.name ?? language;
  try {
    const names = new Intl.DisplayNames([locale.get().code], { type: "language", fallback: "none" });
    return capitalize(names.of(known?.code ?? language) ?? given);
  } catch {
    return capitalize(given); // no code
  }
}

/** @param {string} text */
function capitalize(text) {
  return text.charAt(0).toLocaleUpperCase() + text.slice(1);
}
