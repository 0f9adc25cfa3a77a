// Jobs: files that the server transcribes in the background, and keeps for a while.
import { isPassing } from "./errors.js";
import { request, requestJson, requestText } from "./client.js";
import { listFields, toFormData } from "./form.js";
import { sendForm } from "./upload.js";

/** @typedef {import("./transcribe.js").Peaks} Peaks */

/**
 * @typedef {object} Job the API's fields that the page reads; times are Unix seconds
 * @property {string} id
 * @property {"queued" | "running" | "succeeded" | "failed" | "cancelled"} status
 * @property {number} created_at
 * @property {number | null} ended_at
 * @property {number | null} expires_at
 * @property {string} task
 * @property {string} model
 * @property {string} file_name
 * @property {string | null} language
 * @property {string | null} waiting_reason
 * @property {{stage: string, done_s: number, total_s: number | null, segments: number} | null} progress
 * @property {{seconds: number} | null} usage
 * @property {{message: string, code: string, param: string | null} | null} error
 */

const LONGEST_PAUSE_MS = 4000;

/**
 * Sends a file as a job. Once all of it is sent the signal stops it no more: the server makes the job, whose id has to
 * be known to cancel it.
 * @param {File} file
 * @param {import("./form.js").Options} options
 * @param {{signal: AbortSignal, onUpload: (fraction: number) => void, idempotencyKey: string}} handlers
 * @returns {Promise<Job>}
 */
export async function createJob(file, options, { signal, onUpload, idempotencyKey }) {
  const form = toFormData(listFields(options, { job: true }), file);
  const body = await sendForm("v1/jobs", form, {
    signal,
    onUpload,
    awaitsResponse: true,
    headers: { "idempotency-key": idempotencyKey },
  });
  return JSON.parse(body);
}

/** @param {string} id @param {RequestInit} [init] @returns {Promise<Job>} */
export function getJob(id, init) {
  return requestJson(`v1/jobs/${id}`, init);
}

/**
 * A page of the jobs of this key, the newest first.
 * @param {{after?: string, limit?: number}} [page]
 * @returns {Promise<{data: Job[], has_more: boolean, last_id: string | null}>}
 */
export function listJobs({ after, limit = 50 } = {}) {
  const query = new URLSearchParams({ limit: String(limit), ...(after ? { after } : {}) });
  return requestJson(`v1/jobs?${query}`);
}

/**
 * @param {string} id
 * @param {number} after segments that are here already
 * @returns {Promise<{data: any[], status: string}>}
 */
export function listSegments(id, after) {
  return requestJson(`v1/jobs/${id}/segments?after=${after}`);
}

/** The text of its verbose_json. @param {string} id @returns {Promise<string>} */
export function getResult(id) {
  return requestText(`v1/jobs/${id}/result?format=verbose_json`);
}

/** The peaks of a job's audio, null where the server has none. @param {string} id @returns {Promise<Peaks | null>} */
export async function getPeaks(id) {
  try {
    return await requestJson(`v1/jobs/${id}/peaks`, { quiet: true });
  } catch {
    return null;
  }
}

/** @param {string} id */
export async function cancelJob(id) {
  await request(`v1/jobs/${id}/cancel`, { method: "POST" });
}

/** @param {string} id of a job, which may be gone already */
export async function deleteJob(id) {
  try {
    await request(`v1/jobs/${id}`, { method: "DELETE", keepalive: true }); // also while the page is closed
  } catch (/** @type {any} */ error) {
    if (error.status !== 404) throw error;
  }
}

/**
 * Follows a job until it has ended. A poll that fails is tried again: the job goes on without this page.
 * @param {string} id
 * @param {{signal: AbortSignal, onJob: (job: Job) => void, onSegments: (segments: any[]) => void, onLost?: () =>
 * void}} handlers
 * @returns {Promise<Job>} the ended job. Rejects with ApiError (a job that is gone, a key refused) or AbortError.
 */
export async function followJob(id, { signal, onJob, onSegments, onLost }) {
  let known = 0;
  let pause = 400;
  for (;;) {
    signal.throwIfAborted();
    try {
      const job = await getJob(id, { signal });
      onJob(job);
      if (job.status === "running" && (job.progress?.segments ?? 0) > known) {
        const { data } = await listSegments(id, known);
        known += data.length;
        if (data.length) onSegments(data);
      }
      if (job.status !== "queued" && job.status !== "running") return job;
      pause = Math.min(pause * 1.3, LONGEST_PAUSE_MS);
    } catch (/** @type {any} */ error) {
      if (!isPassing(error) || error.status === 401) throw error;
      onLost?.();
      pause = LONGEST_PAUSE_MS;
    }
    await sleep(pause, signal);
  }
}

/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    };
    signal.addEventListener("abort", stop, { once: true });
  });
}
