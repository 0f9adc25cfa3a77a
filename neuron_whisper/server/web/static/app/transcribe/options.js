// What the reader chose for the next files; kept by the browser, but for the prompt and rarely used fields.
import { DEFAULT_OPTIONS } from "../api/form.js";
import { requestJson } from "../api/client.js";
import { lacksKey } from "../api/key.js";
import { config } from "../config.js";
import { createStore } from "../state.js";

const KEPT_AS = "neuron-whisper.options";
const KEPT_FIELDS = /** @type {const} */ (["model", "language", "task", "words"]);

/** @typedef {import("../api/form.js").Options} Options */
/** @typedef {{id: string, state: string, available: boolean, default: boolean}} Model */

/** `problems`: errors of the server by the field they name */
export const options = createStore({
  values: /** @type {Options} */ ({ ...DEFAULT_OPTIONS, ...readKept() }),
  problems: /** @type {Record<string, string>} */ ({}),
  models: /** @type {Model[]} */ ([]),
});

/** @param {Partial<Options>} patch */
export function chooseOptions(patch) {
  const { values, problems } = options.get();
  const left = { ...problems };
  for (const name of Object.keys(patch)) delete left[name];
  options.set({ values: { ...values, ...patch }, problems: left });
  keep();
}

/** @param {string} name of a further field @param {string} value "" leaves it out */
export function chooseExtra(name, value) {
  const { values, problems } = options.get();
  const { [name.replace(/\[\]$/, "")]: _, ...left } = problems;
  options.set({ values: { ...values, extra: { ...values.extra, [name]: value } }, problems: left });
}

/** Shows an error under the field it names. @param {string} param @param {string} message */
export function showProblem(param, message) {
  options.set((state) => ({ problems: { ...state.problems, [param]: message } }));
}

/** Reads the served models; one that was chosen and is served no more is forgotten. */
export async function readModels() {
  if (lacksKey()) return;
  try {
    /** @type {Model[]} */
    const models = (await requestJson("v1/models", { quiet: true })).data;
    options.set({ models });
    const { model } = options.get().values;
    if (model && !models.some((known) => known.id === model)) chooseOptions({ model: "" });
  } catch {
    // the default model stays; a request shows the error
  }
}

function keep() {
  const { values } = options.get();
  try {
    localStorage.setItem(KEPT_AS, JSON.stringify(Object.fromEntries(KEPT_FIELDS.map((name) => [name, values[name]]))));
  } catch {
    // they hold until the page is closed
  }
}

/** @returns {Partial<Options>} */
function readKept() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT_AS) ?? "{}");
    const { model, language, task, words } = kept;
    return {
      ...(typeof model === "string" ? { model } : {}),
      ...(config.languages.some(({ code }) => code === language) ? { language } : {}),
      ...(task === "translate" ? { task } : {}),
      ...(typeof words === "boolean" ? { words } : {}),
    };
  } catch {
    return {};
  }
}
