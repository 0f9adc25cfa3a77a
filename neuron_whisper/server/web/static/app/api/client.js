// Requests to this server: address, key, JSON, errors. A key that is wanted or wrong opens the key's dialog.
import { resolveUrl } from "../config.js";
import { t } from "../i18n.js";
import { ApiError, toApiError } from "./errors.js";
import { apiKey, askForKey } from "./key.js";

export { ApiError } from "./errors.js";

/** @returns {Record<string, string>} */
export function getHeaders() {
  const { value } = apiKey.get();
  return value ? { authorization: `Bearer ${value}` } : {};
}

/**
 * @param {string} path relative to the page, such as "v1/models"
 * @param {RequestInit & {quiet?: boolean}} [init] `quiet`: a refused key does not open the dialog
 * @returns {Promise<Response>} one that is ok
 */
export async function request(path, { quiet = false, ...init } = {}) {
  let response;
  try {
    response = await fetch(resolveUrl(path), {
      ...init,
      headers: { ...getHeaders(), .../** @type {any} */ (init.headers ?? {}) },
    });
  } catch (error) {
    throw toNetworkError(error);
  }
  if (response.ok) return response;
  const error = toApiError(response.status, await response.text(), response.headers.get("retry-after"));
  if (!quiet) noticeRefusedKey(error);
  throw error;
}

/** The body of a response; one that breaks off is an error of the network, as if there were none.
 * @param {string} path @param {RequestInit & {quiet?: boolean}} [init] */
export async function requestText(path, init) {
  const response = await request(path, init);
  try {
    return await response.text();
  } catch (error) {
    throw toNetworkError(error);
  }
}

/** @param {string} path @param {RequestInit & {quiet?: boolean}} [init] @returns {Promise<any>} */
export async function requestJson(path, init) {
  const text = await requestText(path, init);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw toNetworkError(error); // the page of a proxy
  }
}

/** Opens the key's dialog where the server wants another. @param {ApiError} error */
export function noticeRefusedKey(error) {
  if (error.status === 401) askForKey(error.code === "invalid_api_key" ? "wrong" : "missing");
}

/** An aborted request stays an AbortError. @param {unknown} error */
export function toNetworkError(error) {
  if (error instanceof DOMException && error.name === "AbortError") return error;
  return new ApiError(t("error.unreachable"), { code: "unreachable" });
}
