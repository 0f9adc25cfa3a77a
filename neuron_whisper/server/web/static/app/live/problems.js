// Why a connection was lost or refused. Browsers hide the answer to a handshake: other routes are asked for the reason.
import { ApiError, request, requestJson } from "../api/client.js";
import { config } from "../config.js";
import { parseMetrics, sumOf } from "../health/metrics.js";

/** @typedef {import("./connection.js").Problem} Problem */

const PROBE_MS = 5000;

/** A request in the background, which does not wait for long. */
function quietly() {
  return { quiet: true, signal: AbortSignal.timeout(PROBE_MS) };
}

/**
 * @param {{code: number, wasOpen: boolean, error: Record<string, any> | null, url: string}} end `code` of the socket's
 *   close, `error` the last that the server told
 * @returns {Promise<Problem>}
 */
export async function findProblem({ code, wasOpen, error, url }) {
  if (wasOpen) return explainClose(code, error);
  return probe(new URL(url).searchParams.get("model") ?? "");
}

/**
 * The reason why an open connection ended.
 * @param {number} code
 * @param {Record<string, any> | null} error
 * @returns {Problem}
 */
export function explainClose(code, error) {
  const message = error?.message;
  if (error?.code === "invalid_api_key") return { code: "key_wrong", isFinal: true };
  if (code === 1001) return { code: "restarting" };
  if (code === 1008) return { code: "idle", message };
  if (code === 1011 || code === 1013) return { code: "server_failed", message };
  return { code: globalThis.navigator?.onLine === false ? "offline" : "lost" };
}

/** @param {string} model @returns {Promise<Problem>} */
async function probe(model) {
  try {
    const { data } = await requestJson("v1/models", quietly());
    const known = (/** @type {any} */ one) => one.id === model || one.aliases?.includes(model);
    const served = data.find(model ? known : (/** @type {any} */ one) => one.default);
    if (model && !served) return { code: "model_unknown", isFinal: true };
    if (served && !served.available) return { code: "model_unloaded" };
  } catch (error) {
    return explainError(error);
  }
  try {
    await request("health/ready", quietly());
  } catch (error) {
    return error instanceof ApiError && error.status === 503 ? { code: "not_ready" } : explainError(error);
  }
  return findFullness();
}

/** @param {unknown} error of a request @returns {Problem} */
export function explainError(error) {
  if (!(error instanceof ApiError)) return { code: "lost" };
  if (error.status === 401) {
    const isWrong = error.code === "invalid_api_key";
    return { code: isWrong ? "key_wrong" : "key_missing", isFinal: true };
  }
  if (error.status === 403) return { code: "forbidden", isFinal: true, message: error.message };
  if (error.status === 0) return { code: globalThis.navigator?.onLine === false ? "offline" : "unreachable" };
  return { code: "server_failed", message: error.message, retryAfter: error.retryAfter };
}

/**
 * Whether all live sessions are taken, where this key may read the metrics. Where some are free and no key has a limit
 * of its own, it is not the server that refuses.
 * @returns {Promise<Problem>}
 */
async function findFullness() {
  try {
    const metrics = parseMetrics(await (await request("metrics", quietly())).text());
    const limit = sumOf(metrics, "realtime_sessions_limit");
    if (limit === 0) return { code: "disabled", isFinal: true };
    if ((sumOf(metrics, "realtime_sessions") ?? 0) >= (limit ?? Infinity)) return { code: "full" };
    return { code: config.hasKeys ? "refused" : "blocked" };
  } catch {
    return { code: "refused" };
  }
}
