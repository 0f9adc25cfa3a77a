// Finds the transcript of an address: kept by this browser, or a job of the server, finished or still running.
import { getJob, getPeaks, getResult } from "../api/jobs.js";
import { loadAudio } from "../storage/index.js";
import { fromResponse } from "../transcript/model.js";
import { loadTranscript, openTranscript } from "../transcript/open.js";

/** @typedef {import("../api/jobs.js").Job} Job */
/** @typedef {{doc: any, audio: Blob | string | null, peaks: any, notice: string}} Opened */

/**
 * @param {string} id of a document; a job's document has the job's id
 * @returns {Promise<{opened: Opened} | {job: Job, audio: Blob | null} | null>} `job`: it has not succeeded (yet);
 * null: nobody has it
 */
export async function findTranscript(id) {
  const opened = await loadTranscript(id);
  if (opened) return { opened };
  if (!id.startsWith("job_")) return null;
  const job = await getJob(id);
  return job.status === "succeeded" ? { opened: await keepJob(job) } : { job, audio: await findAudio(id) };
}

/** The result of a job as a document that this browser keeps. @param {Job} job @returns {Promise<Opened>} */
async function keepJob(job) {
  const [response, peaks, audio] = await Promise.all([getResult(job.id), getPeaks(job.id), findAudio(job.id)]);
  const about = { fileName: job.file_name, model: job.model, jobId: job.id, now: job.created_at * 1000 };
  return openTranscript(fromResponse(response, about), audio, { peaks, show: false });
}

/** @param {string} id */
async function findAudio(id) {
  try {
    return await loadAudio(id);
  } catch {
    return null;
  }
}
