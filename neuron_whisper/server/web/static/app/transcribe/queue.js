// The queue of files: a state and the actions that change it. Pure, so that each step can be tested without a browser.
import { isPassing } from "../api/errors.js";

/** @typedef {"ready" | "waiting" | "uploading" | "working" | "done" | "failed" | "cancelled"} ItemState */
/**
 * @typedef {{message: string, code: string, param: string, status: number, retryAt: number}} ItemError `retryAt`: ms
 * since 1970, 0: whenever
 */

/**
 * @typedef {object} Item
 * @property {string} id
 * @property {File} file
 * @property {string} name
 * @property {number} size bytes
 * @property {number | null} duration seconds, null until it is known
 * @property {boolean} isRecorded the recording is nowhere but in this page
 * @property {ItemState} state
 * @property {"stream" | "job"} via
 * @property {Options | null} options those it was sent with
 * @property {number} uploaded 0 to 1
 * @property {number} done seconds of audio that are transcribed
 * @property {number} startedAt ms since 1970: when the server had the file
 * @property {string} stage the job's, "" for a stream
 * @property {any[]} segments as they came, each with its words
 * @property {Peaks | null} peaks
 * @property {ItemError | null} error
 * @property {boolean} retries whether it is sent again when the server has room
 * @property {string} jobId
 * @property {number} tries how often it was sent as another request: not when a connection broke
 * @property {string} documentId the transcript, "" before there is one
 * @property {boolean} opens whether its transcript opens when it is done: it was sent alone
 */

/** @typedef {{items: Item[]}} Queue */

/** @typedef {import("../api/form.js").Options} Options */
/** @typedef {import("../api/transcribe.js").Peaks} Peaks */
/** @typedef {{options: Options, hasJobs: boolean, longSeconds: number, maxUploadBytes: number}} StartValues */

/**
 * What happens to the queue; `now` is in ms since 1970.
 * @typedef {{type: "add", items: Item[]} | {type: "remove", id: string} | {type: "clear"}
 *   | {type: "duration", id: string, seconds: number} | {type: "refuse", id: string, error: ItemError}
 *   | ({type: "start", ids: string[]} & StartValues)
 *   | {type: "upload", id: string, fraction: number, now: number}
 *   | {type: "jobCreated", id: string, jobId: string, now: number}
 *   | {type: "job", id: string, stage: string, done: number, total: number | null, now: number}
 *   | {type: "peaks", id: string, peaks: Peaks}
 *   | {type: "segments", id: string, segments: any[], now: number}
 *   | {type: "finish", id: string, documentId: string, duration: number}
 *   | {type: "fail", id: string, error: ItemError} | {type: "cancel", id: string}
 *   | {type: "retry", id: string, options?: Options} | {type: "retryLater", id: string, retries: boolean}} Action
 */

const ENDED = new Set(["done", "failed", "cancelled"]);

/** @param {Item} item */
export const isActive = (item) => item.state === "uploading" || item.state === "working";

/** @param {Item} item */
export const isBusy = (item) => item.state === "waiting" || isActive(item);

/** @param {Item} item */
export const hasEnded = (item) => ENDED.has(item.state);

/** What a run of an item begins with. */
const FRESH = {
  uploaded: 0,
  done: 0,
  startedAt: 0,
  stage: "",
  segments: [],
  peaks: null,
  error: null,
  retries: false,
  jobId: "",
};

/** @param {{id: string, file: File, duration?: number | null, isRecorded?: boolean}} values @returns {Item} */
export function createItem({ id, file, duration = null, isRecorded = false }) {
  return {
    id,
    file,
    name: file.name,
    size: file.size,
    duration,
    isRecorded,
    state: "ready",
    via: "stream",
    options: null,
    ...FRESH,
    documentId: "",
    tries: 0,
    opens: false,
  };
}

/** @param {Queue} queue @param {Action} action @returns {Queue} */
export function reduce(queue, action) {
  switch (action.type) {
    case "add":
      return { items: [...queue.items, ...action.items] };
    case "remove":
      return { items: queue.items.filter((item) => item.id !== action.id) };
    case "clear":
      return { items: queue.items.filter((item) => !hasEnded(item)) };
    case "start":
      return { items: queue.items.map((item) => (action.ids.includes(item.id) ? startItem(item, action) : item)) };
    default:
      return { items: queue.items.map((item) => (item.id === action.id ? change(item, action) : item)) };
  }
}

/** @param {Item} item @param {Extract<Action, {type: "start"}>} action @returns {Item} */
function startItem(item, { ids, options, hasJobs, longSeconds, maxUploadBytes }) {
  if (item.state !== "ready" || item.error) return item;
  const isLong = item.duration === null ? item.size > maxUploadBytes : item.duration > longSeconds;
  const via = hasJobs && (ids.length > 1 || isLong || item.size > maxUploadBytes) ? "job" : "stream";
  return { ...item, ...FRESH, state: "waiting", via, options, opens: ids.length === 1 };
}

/** @param {Item} item @param {any} action @returns {Item} */
function change(item, action) {
  if (action.type === "retry") {
    if (!hasEnded(item) || !item.options) return item;
    const options = action.options ?? item.options;
    // a job that was lost from sight goes on: it is followed again, the file is not sent twice
    const goesOn = item.jobId !== "" && item.error !== null && isPassing(item.error) && options === item.options;
    const jobId = goesOn ? item.jobId : "";
    const isOther = item.state === "cancelled" || item.jobId !== jobId || options !== item.options;
    return { ...item, ...FRESH, state: "waiting", options, jobId, tries: item.tries + (isOther ? 1 : 0) };
  }
  if (action.type === "duration") return { ...item, duration: action.seconds };
  if (action.type === "refuse") return item.state === "ready" ? { ...item, error: action.error } : item;
  if (action.type === "retryLater") return { ...item, retries: action.retries };
  if (action.type === "peaks") return { ...item, peaks: action.peaks };
  if (hasEnded(item)) return item; // news of a file that was cancelled meanwhile
  switch (action.type) {
    case "upload": {
      if (item.state === "working") return item; // its last news, after the response began
      const isSent = action.fraction >= 1;
      return {
        ...item,
        uploaded: action.fraction,
        state: isSent ? "working" : "uploading",
        startedAt: isSent ? action.now : 0,
      };
    }
    case "jobCreated":
      return {
        ...item,
        state: "working",
        uploaded: 1,
        jobId: action.jobId,
        startedAt: item.startedAt || action.now,
        stage: "queued",
      };
    case "job": {
      const begins = item.stage !== "transcribing" && action.stage === "transcribing";
      const startedAt = begins ? action.now : item.startedAt;
      return {
        ...item,
        stage: action.stage,
        done: Math.max(item.done, action.done),
        duration: action.total ?? item.duration,
        startedAt,
      };
    }
    case "segments": {
      const last = action.segments.at(-1);
      return {
        ...item,
        state: "working",
        segments: [...item.segments, ...action.segments],
        done: Math.max(item.done, last?.end ?? 0),
      };
    }
    case "finish": // what it took to show it while it grew is given back
      return {
        ...item,
        state: "done",
        documentId: action.documentId,
        duration: action.duration,
        done: action.duration,
        error: null,
        segments: [],
        peaks: null,
      };
    case "fail":
      return { ...item, state: "failed", error: action.error };
    case "cancel":
      return item.state === "ready" ? item : { ...item, state: "cancelled" };
    default:
      return item;
  }
}
