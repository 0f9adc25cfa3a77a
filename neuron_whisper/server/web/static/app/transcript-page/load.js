// Finds the transcript of an address: kept by this browser, or a job of the server, finished or still running.
import { getJob, getPeaks, getResult } from "../api/jobs.js";
import { releaseJobAudio, toDocumentId } from "../transcribe/keeping.js";
import { loadAudio } from "../storage/index.js";
import { fromResponse } from "../transcript/model.js";
import { loadTranscript, openTranscript } from "../transcript/open.js";

/** @typedef {import("../api/jobs.js").Job} Job */
/** @typedef {{doc: any, audio: Blob | string | null, peaks: any, notice: string}} Opened */

/** @param {string} id */
export const isJobId = (id) => id.startsWith("job_");

/**
 * @param {string} id of a document or a job
 * @returns {Promise<{opened: Opened} | {job: Job, audio: Blob | null} | null>} `job`: it has not succeeded (yet);
 * null: nobody has it
 */
export async function findTranscript(id) {
  const opened = await loadTranscript(toDocumentId(id));
  if (opened) return { opened };
  if (!isJobId(id)) return null;
  const job = await getJob(id);
  return job.status === "succeeded" ? { opened: await keepJob(job) } : { job, audio: await findJobAudio(id) };
}

/** The result of a job as a document that this browser keeps. @param {Job} job @returns {Promise<Opened>} */
export async function keepJob(job) {
  const [response, peaks, audio] = await Promise.all([getResult(job.id), getPeaks(job.id), findJobAudio(job.id)]);
  const { id: jobId, file_name: fileName, model, created_at: at } = job;
  const about = { fileName, model, jobId, id: toDocumentId(jobId), now: at * 1000 };
  const opened = await openTranscript(fromResponse(response, about), audio, { peaks, show: false });
  await releaseJobAudio(job.id);
  // the recording in hand is the file that was just removed: its copy is read
  return (await loadTranscript(opened.doc.id)) ?? opened;
}

/** @param {string} jobId */
async function findJobAudio(jobId) {
  try {
    return await loadAudio(jobId);
  } catch {
    return null;
  }
}
