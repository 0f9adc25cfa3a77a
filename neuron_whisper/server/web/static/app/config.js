// What the server says about itself in the page, and URLs below the page's own address.

/**
 * @typedef {object} Config
 * @property {string} model the model that is used where none is chosen
 * @property {{code: string, name: string}[]} languages that this model knows
 * @property {number} maxUploadBytes of a request
 * @property {number} maxAudioSeconds of a request
 * @property {boolean} hasKeys whether requests need an API key
 * @property {boolean} hasJobs whether /v1/jobs exists
 * @property {number} jobsMaxUploadBytes
 * @property {number} jobsMaxAudioSeconds
 * @property {boolean} hasRealtime whether live captions exist
 * @property {boolean} hasModelAdmin whether models can be loaded and unloaded by requests
 * @property {boolean} metricsNeedKey whether /metrics needs an admin's key
 * @property {{name: string, url: string}[]} samples recordings to try
 * @property {string} version
 * @property {string} nonce for styles that a library adds
 */

/** @type {Config} */
const DEFAULTS = {
  model: "",
  languages: [],
  maxUploadBytes: 25 * 1024 * 1024,
  maxAudioSeconds: 7200,
  hasKeys: false,
  hasJobs: false,
  jobsMaxUploadBytes: 0,
  jobsMaxAudioSeconds: 0,
  hasRealtime: true,
  hasModelAdmin: false,
  metricsNeedKey: false,
  samples: [],
  version: "",
  nonce: "",
};

/** @type {Config} */
export const config = { ...DEFAULTS, ...readConfig() };

/** The URL of a path of this server, also below a prefix. @param {string} path without a slash at its start */
export function resolveUrl(path) {
  return new URL(path, document.baseURI).href;
}

/** @returns {Partial<Config>} */
function readConfig() {
  const text = globalThis.document?.getElementById("config")?.textContent;
  return text ? JSON.parse(text) : {};
}
