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
import { isActive } from "./queue.js";
import { dispatch, getItem, queue } from "./store.js";

/** @typedef {import("./queue.js").Item} Item */
/** @typedef {import("../api/form.js").Options} Options */

/** @type {Map<string, AbortController>} of the files that are being worked on */
const stops = new Map();
let isSending = false;

// a key that was wanted or wrong is here now: what it refused is sent again
apiKey.subscribe(({ value, asks }) => {
  if (!value || asks) return;
  for (const item of queue.get().items) if (item.state === "failed" && item.error?.status === 401) retry(item.id);
});

// a page that is closed loses what it is sending; the server's jobs go on
globalThis.addEventListener?.("beforeunload", (event) => {
  const isLost = queue.get().items.some((item) => (item.state === "waiting" || isActive(item)) && !item.jobId);
  if (isLost) event.preventDefault();
});

/** Sends the next waiting file, if none is being sent. */
export async function pump() {
  const next = queue.get().items.find((item) => item.state === "waiting");
  if (isSending || !next) return;
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
  if (item?.jobId) cancelJob(item.jobId).catch(() => {}); // it may have ended meanwhile
}

/**
 * Sends a file again.
 * @param {string} id
 * @param {Options} [values] other options than those it was sent with
 */
export function retry(id, values) {
  dispatch({ type: "retry", id, options: values });
  pump();
}

/** @param {Item} item @param {() => void} free lets the next file be sent */
async function run(item, free) {
  const stop = new AbortController();
  stops.set(item.id, stop);
  dispatch({ type: "upload", id: item.id, fraction: 0, now: Date.now() });
  try {
    if (lacksKey()) throw refuseWithoutKey();
    await readSchema();
    const about = item.via === "job" ? await runJob(item, stop.signal, free) : await runStream(item, stop.signal);
    const { keepTranscript } = await import("./keeping.js");
    const current = getItem(item.id);
    if (!current || stop.signal.aborted) return;
    const document = await keepTranscript(current, about);
    dispatch({ type: "finish", id: item.id, documentId: document.id, duration: document.duration });
    announce(t("transcribe.finished", { name: item.name }));
    if (item.opens && route.get().view === "transcribe") goTo("transcript", document.id);
  } catch (error) {
    fail(item, error);
  } finally {
    stops.delete(item.id);
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

/** @param {Item} item @param {AbortSignal} signal @param {() => void} free */
async function runJob({ id, file, options, tries }, signal, free) {
  const created = await createJob(file, /** @type {any} */ (options), {
    signal,
    idempotencyKey: `page-${id}-${tries}`,
    onUpload: (fraction) => dispatch({ type: "upload", id, fraction, now: Date.now() }),
  });
  dispatch({ type: "jobCreated", id, jobId: created.id, now: Date.now() });
  import("./keeping.js").then(({ keepJobAudio }) => keepJobAudio(created.id, file));
  free();
  let asksPeaks = true;
  const job = await followJob(created.id, {
    signal,
    onJob: ({ status, progress }) => {
      const { stage = status, done_s = 0, total_s = null } = progress ?? {};
      dispatch({ type: "job", id, stage, done: done_s, total: total_s, now: Date.now() });
      if (asksPeaks && total_s !== null) {
        asksPeaks = false;
        getPeaks(created.id).then((peaks) => peaks && dispatch({ type: "peaks", id, peaks }));
      }
    },
    onSegments: (segments) => dispatch({ type: "segments", id, segments, now: Date.now() }),
    onLost: noticeServerGone,
  });
  if (job.status === "cancelled") throw new DOMException("cancelled elsewhere", "AbortError");
  if (job.error) throw new ApiError(job.error.message, { code: job.error.code, param: job.error.param ?? "" });
  if (!getItem(id)?.peaks) {
    const peaks = await getPeaks(created.id);
    if (peaks) dispatch({ type: "peaks", id, peaks });
  }
  return { response: await getResult(created.id), jobId: created.id };
}

/** @param {Item} item @param {unknown} error */
function fail({ id, name }, error) {
  if (error instanceof DOMException && error.name === "AbortError") {
    dispatch({ type: "cancel", id });
    return;
  }
  const known = error instanceof ApiError ? error : new ApiError(t("error.unexpected", { what: String(error) }));
  if (!(error instanceof ApiError)) reportError(error);
  const { message, code, param, status, retryAfter } = known;
  if (code === "unreachable") noticeServerGone();
  if (param && param !== "file" && param !== "job") showProblem(param.replace(/\[\]$/, ""), message);
  const retryAt = retryAfter ? Date.now() + retryAfter * 1000 : 0;
  dispatch({ type: "fail", id, error: { message, code, param, status, retryAt } });
  announce(t("transcribe.failedNamed", { name, reason: message }));
}
