// The fields of the transcription form, as the server's OpenAPI document lists them.
import { requestJson } from "./client.js";
import { createStore } from "../state.js";

/**
 * @typedef {object} FormField
 * @property {string} name in the form, with [] where it is a list
 * @property {"boolean" | "integer" | "number" | "choice" | "text"} kind
 * @property {number} [minimum]
 * @property {number} [maximum]
 * @property {string[]} [choices]
 * @property {string} description in English
 */

export const schema = createStore({
  fields: /** @type {Map<string, FormField>} */ (new Map()),
  hasPeaks: false,
  isRead: false,
});

/** Reads the document once; without it (an old proxy, no network) only the page's own fields are shown. */
export async function readSchema() {
  if (schema.get().isRead) return;
  try {
    const document = await requestJson("schema/openapi.json", { quiet: true });
    schema.set({ fields: listFormFields(document), hasPeaks: knowsPeaks(document), isRead: true });
  } catch {
    // the form stays as it is
  }
}

/** @param {any} document @returns {Map<string, FormField>} by name without [] */
export function listFormFields(document) {
  const fields = new Map();
  for (const [formName, property] of Object.entries(findProperties(document))) {
    const name = formName.replace(/\[\]$/, "");
    fields.set(name, { name: formName, description: property.description ?? "", ...readKind(document, property) });
  }
  return fields;
}

/** Whether include[] takes "peaks". @param {any} document */
export function knowsPeaks(document) {
  const include = findProperties(document)["include[]"];
  return Boolean(include && resolve(document, include.items ?? {}).enum?.includes("peaks"));
}

/** @param {any} document @returns {Record<string, any>} */
function findProperties(document) {
  const operation = document?.paths?.["/v1/audio/transcriptions"]?.post;
  const body = operation?.requestBody?.content?.["multipart/form-data"]?.schema;
  return resolve(document, body ?? {}).properties ?? {};
}

/** Follows $ref. @param {any} document @param {any} node @returns {any} */
function resolve(document, node) {
  if (typeof node?.$ref !== "string") return node;
  const found = node.$ref
    .replace(/^#\//, "")
    .split("/")
    .reduce((/** @type {any} */ at, /** @type {string} */ key) => at?.[key], document);
  return found ?? {};
}

/** @param {any} document @param {any} property @returns {Partial<FormField>} */
function readKind(document, property) {
  const node = resolve(document, property);
  const variants = [node, ...(node.anyOf ?? node.oneOf ?? [])].map((variant) => resolve(document, variant));
  const typed = variants.find((variant) => ["boolean", "integer", "number"].includes(variant.type));
  if (typed) {
    const { minimum, maximum } = typed;
    return {
      kind: typed.type,
      ...(minimum === undefined ? {} : { minimum }),
      ...(maximum === undefined ? {} : { maximum }),
    };
  }
  if (Array.isArray(node.enum)) return { kind: "choice", choices: node.enum.map(String) };
  return { kind: "text" };
}
