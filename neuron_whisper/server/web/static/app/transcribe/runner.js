// Works the queue off: one file after another by a stream, several and long ones as jobs of the server.
import { ApiError } from "../api/errors.js";
import { apiKey, askForKey, lacksKey } from "../api/key.js";
import { cancelJob, createJob, followJob, getPeaks, getResult } from "../api/jobs.js";
import { readSchema, schema } from "../api/schema.js";
import { transcribeFile } from "../api/transcribe.js";
import { noticeServerGone } from "../ServerNotice.js";
import { t } from "../i18n.js";
import { goTo, route } from "../router.js";
import { announce } from "../ui/toasts.js";
import { showProblem } from "./options.js";
import { isBusy } from "./queue.js";
import { isRecording } from "./recording.js";
import { dispatch, getItem, queue } from "./store.js";

/** @typedef {import("./queue.js").Item} Item */
/** @typedef {import("../api/form.js").Options} Options */

/** @type {Map<string, AbortController>} of the files that are being worked on */
const stops = new Map();
let isSending = false;
let restsUntil = 0; // ms since 1970: the server has no room before

let lastKey = apiKey.get().value;
// another key is here now: what was refused is sent again
apiKey.subscribe(({ value }) => {
  if (value === lastKey) return;
  lastKey = value;
  if (!value) return;
  for (const item of queue.get().items) if (item.state === "failed" && item.error?.status === 401) retry(item.id);
});

// a page that is closed loses what it is sending or recording; the server's jobs go on
globalThis.addEventListener?.("beforeunload", (event) => {
  const isLost = queue
    .get()
    .items.some((item) => !item.jobId && item.state !== "done" && (item.isRecorded || isBusy(item)));
  if (isLost || isRecording()) event.preventDefault();
});

/** Sends the next waiting file, if none is being sent. */
export async function pump() {
  const next = queue.get().items.find((item) => item.state === "waiting");
  if (isSending || !next) return;
  const rest = restsUntil - Date.now();
  if (rest > 0) {
    setTimeout(pump, rest);
    return;
  }
  isSending = true;
  let isFree = false;
  const free = () => {
    if (isFree) return;
    isFree = true;
    isSending = false;
    pump();
  };
  try {
    await run(next, free);
  } finally {
    free();
  }
}

/** Stops a file; the server's job is cancelled too. @param {string} id */
export function cancel(id) {
  const item = getItem(id);
  dispatch({ type: "cancel", id });
  stops.get(id)?.abort();
  stops.delete(id);
  if (item?.jobId) cancelJob(item.jobId).catch(() => {}); // it may have ended meanwhile
}

/**
 * Sends a file again.
 * @param {string} id
 * @param {Options} [values] other options than those it was sent with
 */
export function retry(id, values) {
  dispatch({ type: "retry", id, options: values });
  restsUntil = 0;
  pump();
}

/** Sends a file again when the server has room, whichever view is shown. @param {string} id @param {boolean} retries */
export function retryLater(id, retries) {
  dispatch({ type: "retryLater", id, retries });
  const error = getItem(id)?.error;
  if (!retries || !error) return;
  setTimeout(
    () => {
      const item = getItem(id);
      if (item?.retries && item.error === error) retry(id);
    },
    Math.max(0, error.retryAt - Date.now()),
  );
}

/** @param {Item} item @param {() => void} free lets the next file be sent */
async function run(item, free) {
  const stop = new AbortController();
  stops.set(item.id, stop);
  const isCurrent = () => stops.get(item.id) === stop;
  if (item.jobId) dispatch({ type: "jobCreated", id: item.id, jobId: item.jobId, now: Date.now() });
  else dispatch({ type: "upload", id: item.id, fraction: 0, now: Date.now() });
  try {
    if (lacksKey()) throw refuseWithoutKey();
    await readSchema();
    const keeping = await loadKeeping();
    const about = item.via === "job" ? await runJob(item, stop.signal, free) : await runStream(item, stop.signal);
    const current = getItem(item.id);
    if (!current || !isCurrent()) return;
    const document = await keeping.keepTranscript(current, about);
    if (!isCurrent()) return void (await keeping.removeDocument(document.id)); // it was cancelled at the last moment
    dispatch({ type: "finish", id: item.id, documentId: document.id, duration: document.duration });
    announce(t("transcribe.finished", { name: item.name }));
    if (item.opens && route.get().view === "transcribe" && !isRecording()) goTo("transcript", document.id);
  } catch (error) {
    const known = await toKnownError(error, item);
    if (isCurrent()) fail(item, known);
  } finally {
    if (isCurrent()) stops.delete(item.id);
  }
}

/** Before anything is sent: a server that goes away, or is updated, meanwhile does not give this module any more. */
async function loadKeeping() {
  try {
    return await import("./keeping.js");
  } catch {
    throw new ApiError(t("page.loadFailed"));
  }
}

/** The error of a file that is not sent, as the server would refuse it; the key is asked for. */
function refuseWithoutKey() {
  askForKey("missing");
  return new ApiError(t("page.keyWanted"), { status: 401 });
}

/** @param {Item} item @param {AbortSignal} signal */
async function runStream({ id, file, options }, signal) {
  const response = await transcribeFile(file, /** @type {any} */ (options), {
    signal,
    wantsPeaks: schema.get().hasPeaks,
    onUpload: (fraction) => dispatch({ type: "upload", id, fraction, now: Date.now() }),
    onPeaks: (peaks) => {
      dispatch({ type: "peaks", id, peaks });
      dispatch({ type: "duration", id, seconds: peaks.peaks.length / peaks.peaks_per_second });
    },
    onSegment: (segment, words) =>
      dispatch({ type: "segments", id, segments: [{ ...segment, words }], now: Date.now() }),
  });
  return { response, jobId: "" };
}

/** Sends a file as a job. @param {Item} item @param {AbortSignal} signal @returns {Promise<string>} the job's id */
async function sendJob({ id, file, options, tries }, signal) {
  const created = await createJob(file, /** @type {any} */ (options), {
    signal,
    idempotencyKey: `page-${id}-${tries}`,
    onUpload: (fraction) => signal.aborted || dispatch({ type: "upload", id, fraction, now: Date.now() }),
  });
  if (!signal.aborted) return created.id;
  await cancelJob(created.id);
  throw new DOMException("stopped", "AbortError");
}

/** @param {Item} item @param {AbortSignal} signal @param {() => void} free */
async function runJob(item, signal, free) {
  const { id, file } = item;
  const jobId = item.jobId || (await sendJob(item, signal));
  dispatch({ type: "jobCreated", id, jobId, now: Date.now() });
  // by the job's id, which its document will have: it can be opened or sent again after the page was closed
  const kept = loadKeeping().then(({ saveAudio }) => saveAudio(jobId, file));
  free();
  let asksPeaks = true;
  const job = await followJob(jobId, {
    signal,
    onJob: ({ status, progress }) => {
      const { stage = status, done_s = 0, total_s = null } = progress ?? {};
      dispatch({ type: "job", id, stage, done: done_s, total: total_s, now: Date.now() });
      if (asksPeaks && total_s !== null) {
        asksPeaks = false;
        getPeaks(jobId).then((peaks) => peaks && dispatch({ type: "peaks", id, peaks }));
      }
    },
    onSegments: (segments) => dispatch({ type: "segments", id, segments, now: Date.now() }),
    onLost: noticeServerGone,
  });
  if (job.status === "cancelled") throw new DOMException("cancelled elsewhere", "AbortError");
  if (job.error) throw new ApiError(job.error.message, { code: job.error.code, param: job.error.param ?? "" });
  if (!getItem(id)?.peaks) {
    const peaks = await getPeaks(jobId);
    if (peaks) dispatch({ type: "peaks", id, peaks });
  }
  const response = await getResult(jobId);
  await kept; // it is not written twice
  return { response, jobId };
}

/**
 * What is told of an error, null of one that was cancelled. A file that is gone or changed, or a folder, fails as a
 * connection does.
 * @param {unknown} error
 * @param {Item} item
 */
async function toKnownError(error, { id, file }) {
  if (error instanceof DOMException && error.name === "AbortError") return null;
  if (!(error instanceof ApiError)) {
    reportError(error);
    return new ApiError(t("error.unexpected", { what: String(error) }));
  }
  if (error.code !== "unreachable" || getItem(id)?.jobId) return error;
  const isThere = await file.slice(0, 1).arrayBuffer().then(Boolean, () => false);
  return isThere ? error : new ApiError(t("transcribe.unreadable"), { param: "file" });
}

/** @param {Item} item @param {ApiError | null} error */
function fail({ id, name }, error) {
  if (!error) {
    dispatch({ type: "cancel", id });
    return;
  }
  const { message, code, param, status, retryAfter } = error;
  if (code === "unreachable") noticeServerGone();
  if (param && param !== "file" && param !== "job") showProblem(param.replace(/\[\]$/, ""), message);
  const retryAt = retryAfter ? Date.now() + retryAfter * 1000 : 0;
  restsUntil = Math.max(restsUntil, retryAt);
  dispatch({ type: "fail", id, error: { message, code, param, status, retryAt } });
  // where the queue is shown its card tells
  if (route.get().view !== "transcribe") announce(t("transcribe.failedNamed", { name, reason: message }));
}
