// Makes a document of a response and has the browser keep it with its recording; loaded when a file is done.
import { config } from "../config.js";
import { removeAudio, saveAudio } from "../storage/index.js";
import { fromResponse } from "../transcript/model.js";
import { openTranscript } from "../transcript/open.js";

export { removeDocument } from "../storage/index.js";

/** @typedef {import("../transcript/types.js").TranscriptDocument} TranscriptDocument */

/**
 * @param {import("./queue.js").Item} item
 * @param {{response: string, jobId: string}} about
 * @returns {Promise<TranscriptDocument>}
 */
export async function keepTranscript(item, { response, jobId }) {
  const model = item.options?.model || config.model;
  const ofJob = jobId ? { jobId, id: toDocumentId(jobId) } : {};
  const document = fromResponse(response, { fileName: item.name, model, ...ofJob });
  const { doc } = await openTranscript(document, item.file, { peaks: item.peaks, show: false });
  if (jobId) await releaseJobAudio(jobId);
  return doc;
}

/** The id of a job's document: the same, whoever makes it. @param {string} jobId */
export const toDocumentId = (jobId) => jobId.replace(/^job_/, "doc_");

/**
 * Keeps the recording of a job by the job's id, so that it can be opened or sent again after the page was closed.
 * @param {string} jobId
 * @param {Blob} file
 */
export async function keepJobAudio(jobId, file) {
  try {
    await saveAudio(jobId, file);
  } catch {
    // the browser keeps nothing
  }
}

/** @param {string} jobId */
export async function releaseJobAudio(jobId) {
  try {
    await removeAudio(jobId);
  } catch {
    // it kept nothing
  }
}
