// What the server's metrics say at a moment, and how that went over the last minutes. Pure.
import { sumOf } from "./metrics.js";

export const KEPT_MS = 5 * 60_000;

/**
 * @typedef {object} Snapshot null: the server has no such metric
 * @property {number} at Unix milliseconds
 * @property {number | null} requests finished since the start, of the API
 * @property {number | null} audio seconds answered since the start
 * @property {number | null} rtfSum
 * @property {number | null} rtfCount
 * @property {number | null} inFlight
 * @property {number | null} slotsBusy
 * @property {number | null} slots
 * @property {number | null} waiting windows
 * @property {number | null} sessions
 * @property {number | null} sessionsLimit
 * @property {number | null} jobsQueued
 * @property {number | null} jobsRunning
 * @property {number | null} memory bytes
 * @property {number | null} startedAt Unix seconds
 * @typedef {{at: number, requests: number, audio: number, rtf: number | null, slots: number, queue: number,
 *   sessions: number}} Point rates are per second since the point before; `rtf` null where nothing was answered
 */

/** @param {import("./metrics.js").Metrics} metrics @param {number} at @returns {Snapshot} */
export function takeSnapshot(metrics, at) {
  const sum = (/** @type {string} */ name) => sumOf(metrics, name);
  return {
    at,
    requests: countRequests(metrics),
    audio: sum("audio_seconds_total"),
    rtfSum: sum("request_rtf_sum"),
    rtfCount: sum("request_rtf_count"),
    inFlight: sum("requests_in_flight"),
    slotsBusy: sum("slots_busy"),
    slots: sum("slots"),
    waiting: sum("windows_waiting"),
    sessions: sum("realtime_sessions"),
    sessionsLimit: sum("realtime_sessions_limit"),
    jobsQueued: sumOf(metrics, "jobs", { status: "queued" }),
    jobsRunning: sumOf(metrics, "jobs", { status: "running" }),
    memory: sum("process_resident_memory_bytes"),
    startedAt: sum("process_start_time_seconds"),
  };
}

/**
 * The points with what happened between two snapshots; what is older than five minutes is dropped.
 * @param {readonly Point[]} points
 * @param {Snapshot | null} before
 * @param {Snapshot} now
 * @returns {Point[]}
 */
export function addPoint(points, before, now) {
  const kept = points.filter((point) => now.at - point.at <= KEPT_MS);
  if (!before || now.at <= before.at) return kept;
  const seconds = (now.at - before.at) / 1000;
  const answered = grow(before.rtfCount, now.rtfCount);
  return [
    ...kept,
    {
      at: now.at,
      requests: grow(before.requests, now.requests) / seconds,
      audio: grow(before.audio, now.audio) / seconds,
      rtf: answered ? grow(before.rtfSum, now.rtfSum) / answered : null,
      slots: now.slotsBusy ?? 0,
      queue: now.waiting ?? 0,
      sessions: now.sessions ?? 0,
    },
  ];
}

/**
 * How much a counter grew; after a restart of the server it counts from zero.
 * @param {number | null} from
 * @param {number | null} to
 */
function grow(from, to) {
  if (to === null) return 0;
  return from === null || to < from ? to : to - from;
}

/**
 * Requests of the API: not those for the page, for health and for metrics.
 * @param {import("./metrics.js").Metrics} metrics
 */
function countRequests(metrics) {
  const samples = metrics.get("requests_total");
  if (!samples) return null;
  const ours = samples.filter(({ labels: { route = "" } }) => /^\/(v1\/(?!models)|invocations)/.test(route));
  return ours.reduce((sum, { value }) => sum + value, 0);
}
