// Finds the transcript of an address: kept by this browser, or a job of the server, finished or still running.
import { getJob, getPeaks, getResult } from "../api/jobs.js";
import { releaseJobAudio } from "../transcribe/keeping.js";
import { listDocuments, loadAudio } from "../storage/index.js";
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
  if (!isJobId(id)) {
    const opened = await loadTranscript(id);
    return opened ? { opened } : null;
  }
  const kept = await findDocumentOfJob(id);
  if (kept) return findTranscript(kept);
  const job = await getJob(id);
  return job.status === "succeeded" ? { opened: await keepJob(job) } : { job, audio: await findJobAudio(id) };
}

/** The result of a job as a document that this browser keeps. @param {Job} job @returns {Promise<Opened>} */
export async function keepJob(job) {
  const [response, peaks, audio] = await Promise.all([getResult(job.id), getPeaks(job.id), findJobAudio(job.id)]);
  const about = { fileName: job.file_name, model: job.model, jobId: job.id, now: job.created_at * 1000 };
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

/** @param {string} jobId */
async function findDocumentOfJob(jobId) {
  try {
    return (await listDocuments()).find((entry) => entry.jobId === jobId)?.id ?? "";
  } catch {
    return "";
  }
}
