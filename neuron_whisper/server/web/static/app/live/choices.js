// What the reader chose for the captions, kept by this browser, and the models to choose from.
import { requestJson } from "../api/client.js";
import { createStore } from "../state.js";

const KEPT_AS = "neuron-whisper.live";

/** @typedef {import("./session.js").Choices} Choices */

/** @type {Choices} */
const NONE = { deviceId: "", model: "", language: "", prompt: "" };

export const choices = createStore({ ...NONE, ...readKept() });

/**
 * The choices that this server can fulfil, as the fields show them: kept ones may be another server's.
 * @param {Choices} wanted
 * @param {{models: string[], languages: string[]}} served `models`: none where they could not be read
 * @returns {Choices}
 */
export function fitChoices({ model, language, ...others }, { models, languages }) {
  return {
    ...others,
    model: !models.length || models.includes(model) ? model : "",
    language: languages.includes(language) ? language : "",
  };
}

/** @param {Partial<Choices>} changes */
export function choose(changes) {
  choices.set(changes);
  try {
    localStorage.setItem(KEPT_AS, JSON.stringify(choices.get()));
  } catch {
    // a browser that keeps nothing: the choice holds until the page is closed
  }
}

/** The models that may be asked for, the default first. @returns {Promise<string[]>} none where they cannot be read */
export async function listModels() {
  try {
    const { data } = await requestJson("v1/models", { quiet: true });
    /** @type {{id: string, available: boolean, default: boolean}[]} */
    const served = data.filter((/** @type {any} */ model) => model.available);
    return served.sort((a, b) => Number(b.default) - Number(a.default)).map((model) => model.id);
  } catch {
    return [];
  }
}

/** @returns {Partial<Choices>} */
function readKept() {
  try {
    const kept = Object.entries(JSON.parse(localStorage.getItem(KEPT_AS) ?? "{}"));
    return Object.fromEntries(kept.filter(([name, value]) => name in NONE && typeof value === "string"));
  } catch {
    return {};
  }
}
