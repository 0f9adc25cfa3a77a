// The form of a transcription: what the reader chose, as the API's fields.

/**
 * @typedef {object} Options what the reader chose
 * @property {string} model "" for the server's default
 * @property {string} language "" to detect it
 * @property {"transcribe" | "translate"} task
 * @property {string} prompt
 * @property {boolean} words whether words have times
 * @property {Record<string, string>} extra further fields by their names in the form; "" leaves one out
 */

/** @type {Options} */
export const DEFAULT_OPTIONS = { model: "", language: "", task: "transcribe", prompt: "", words: true, extra: {} };

/**
 * The fields as pairs, without the file.
 * @param {Options} options
 * @param {{stream?: boolean, peaks?: boolean, job?: boolean}} [how] `job`: a job's form, which names the task
 * @returns {[string, string][]}
 */
export function listFields(options, { stream = false, peaks = false, job = false } = {}) {
  /** @type {[string, string][]} */
  const fields = [["response_format", "verbose_json"]];
  if (stream) fields.push(["stream", "true"]);
  if (peaks) fields.push(["include[]", "peaks"]);
  if (job) fields.push(["task", options.task]);
  if (options.words) fields.push(["timestamp_granularities[]", "segment"], ["timestamp_granularities[]", "word"]);
  if (options.model) fields.push(["model", options.model]);
  if (options.language) fields.push(["language", options.language]);
  if (options.prompt.trim()) fields.push(["prompt", options.prompt]);
  for (const [name, value] of Object.entries(options.extra)) if (value !== "") fields.push([name, value]);
  return fields;
}

/** @param {[string, string][]} fields @param {File} file */
export function toFormData(fields, file) {
  const form = new FormData();
  for (const [name, value] of fields) form.append(name, value);
  form.append("file", file, file.name);
  return form;
}
