// Asks the server every two seconds how it is, while the page can be seen; a failure is told and asked again.
import { ApiError, request, requestJson } from "../api/client.js";
import { resolveUrl } from "../config.js";
import { createStore } from "../state.js";
import { addPoint, takeSnapshot } from "./history.js";
import { parseMetrics } from "./metrics.js";

const INTERVAL_MS = 2000;
const TIMEOUT_MS = 8000;

/**
 * @typedef {object} ServerHealth
 * @property {any} readiness the answer of /health/ready
 * @property {any[] | null} models
 * @property {import("./history.js").Snapshot | null} snapshot
 * @property {import("./history.js").Point[]} points
 * @property {number} metricsStatus of a refusal (401, 403), 0 where there was none
 * @property {number} modelsStatus
 * @property {number} failedAt Unix milliseconds when the server did not answer, 0 when it did
 * @property {number} serverNow Unix milliseconds by the server's clock
 */

/** @type {ServerHealth} */
const NOTHING_YET = {
  readiness: null,
  models: null,
  snapshot: null,
  points: [],
  metricsStatus: 0,
  modelsStatus: 0,
  failedAt: 0,
  serverNow: 0,
};

export const health = createStore(NOTHING_YET);

/** @type {number | undefined} */
let timer;
let watchers = 0;

/** Polls until the function that it gives is called. */
export function watchHealth() {
  watchers += 1;
  if (watchers === 1) document.addEventListener("visibilitychange", onVisibility);
  void poll();
  return () => {
    watchers -= 1;
    if (watchers) return;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", onVisibility);
  };
}

function onVisibility() {
  clearTimeout(timer);
  if (!document.hidden) void poll();
}

/** Asks now, and again after the interval. */
export async function poll() {
  clearTimeout(timer);
  await Promise.all([readReadiness(), readMetrics(), readModels()]);
  clearTimeout(timer);
  if (watchers && !document.hidden) timer = setTimeout(poll, INTERVAL_MS);
}

/** @returns {RequestInit & {quiet: boolean}} */
function quietly() {
  return { quiet: true, signal: AbortSignal.timeout(TIMEOUT_MS) };
}

async function readReadiness() {
  try {
    const response = await fetch(resolveUrl("health/ready"), quietly()); // 503 has the same body, with the reason
    const date = Date.parse(response.headers.get("date") ?? "");
    const readiness = await response.json().catch(() => null); // the page of a proxy
    health.set({ readiness, failedAt: readiness ? 0 : Date.now(), serverNow: date || Date.now() });
  } catch {
    health.set({ failedAt: Date.now() });
  }
}

async function readMetrics() {
  try {
    const text = await (await request("metrics", quietly())).text();
    const snapshot = takeSnapshot(parseMetrics(text), Date.now());
    health.set((state) => ({
      snapshot,
      points: addPoint(state.points, state.snapshot, snapshot),
      metricsStatus: 0,
    }));
  } catch (error) {
    const status = findRefusal(error);
    if (status) health.set({ metricsStatus: status, snapshot: null, points: [] });
  }
}

async function readModels() {
  try {
    const { data } = await requestJson("v1/models", quietly());
    health.set({ models: data, modelsStatus: 0 });
  } catch (error) {
    const status = findRefusal(error);
    if (status) health.set({ modelsStatus: status, models: null });
  }
}

/** The status of a key that is refused; of other failures /health/ready tells. @param {unknown} error */
function findRefusal(error) {
  return error instanceof ApiError && (error.status === 401 || error.status === 403) ? error.status : 0;
}
