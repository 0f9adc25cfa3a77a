// Sends a form with progress of the upload, and hands the response on while it comes. By XMLHttpRequest: fetch tells
// no progress of an upload.
import { resolveUrl } from "../config.js";
import { t } from "../i18n.js";
import { getHeaders, noticeRefusedKey } from "./client.js";
import { ApiError, toApiError } from "./errors.js";

/**
 * @param {string} path
 * @param {FormData} form
 * @param {object} handlers
 * @param {AbortSignal} handlers.signal
 * @param {(fraction: number) => void} [handlers.onUpload] 0 to 1
 * @param {(piece: string) => void} [handlers.onText] the body of a good response as it comes
 * @param {Record<string, string>} [handlers.headers]
 * @param {boolean} [handlers.awaitsResponse] the signal stops the upload only, not the wait for the response after it
 * @returns {Promise<string>} the whole body. Rejects with ApiError, or with AbortError when the signal fired.
 */
export function sendForm(path, form, { signal, onUpload, onText, headers = {}, awaitsResponse = false }) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    let passed = 0;
    let isSent = false;
    const passText = () => {
      if (!onText || xhr.status !== 200) return;
      const text = xhr.responseText;
      if (text.length > passed) onText(text.slice(passed));
      passed = text.length;
    };
    const fail = (/** @type {unknown} */ error) => {
      signal.removeEventListener("abort", abort);
      reject(error);
    };
    const abort = () => {
      if (!(isSent && awaitsResponse)) xhr.abort();
    };
    signal.addEventListener("abort", abort);
    xhr.open("POST", resolveUrl(path));
    for (const [name, value] of Object.entries({ ...getHeaders(), ...headers })) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (event) => {
      if (event.lengthComputable && event.total > 0) onUpload?.(event.loaded / event.total);
    };
    xhr.upload.onload = () => {
      isSent = true;
      onUpload?.(1);
    };
    xhr.onprogress = passText;
    xhr.onload = () => {
      if (xhr.status < 200 || xhr.status > 299) {
        const error = toApiError(xhr.status, xhr.responseText, xhr.getResponseHeader("retry-after"));
        noticeRefusedKey(error);
        fail(error);
        return;
      }
      try {
        passText();
      } catch (error) {
        fail(error);
        return;
      }
      signal.removeEventListener("abort", abort);
      resolve(xhr.responseText);
    };
    xhr.onerror = () => fail(new ApiError(t("error.unreachable"), { code: "unreachable" }));
    xhr.onabort = () => fail(new DOMException("stopped", "AbortError"));
    if (signal.aborted) fail(new DOMException("stopped", "AbortError"));
    else xhr.send(form);
  });
}
