// The API's errors as ApiError, and a response that never came as one too.
import { t } from "../i18n.js";

/** `code` is the API's, or one of "unreachable" (no response) and "ended_early" (a response that broke off). */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {{code?: string, param?: string, status?: number, retryAfter?: number}} [fields] `retryAfter` in seconds
   */
  constructor(message, { code = "", param = "", status = 0, retryAfter = 0 } = {}) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.param = param;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/**
 * Whether what failed says nothing about the request itself: the server was not reached, wants another key or has no
 * room.
 * @param {{code: string, status: number}} error
 */
export const isPassing = ({ code, status }) =>
  code === "unreachable" || status === 401 || status === 429 || status >= 500;

/**
 * The error in a response's body; a body that is not ours (a proxy's page) gives the status alone.
 * @param {number} status
 * @param {string} body
 * @param {string | null} retryAfter the header
 */
export function toApiError(status, body, retryAfter) {
  const seconds = Math.max(0, Math.ceil(Number(retryAfter) || 0));
  try {
    const { error } = JSON.parse(body);
    if (error && typeof error.message === "string") {
      return new ApiError(error.message, {
        code: error.code ?? "",
        param: error.param ?? "",
        status,
        retryAfter: seconds,
      });
    }
  } catch {
    // the page of a proxy
  }
  const key = { 413: "error.tooLarge", 502: "error.noAnswer", 503: "error.noAnswer", 504: "error.noAnswer" }[status];
  return new ApiError(key ? t(key, { status }) : `HTTP ${status}`, { status, retryAfter: seconds });
}
