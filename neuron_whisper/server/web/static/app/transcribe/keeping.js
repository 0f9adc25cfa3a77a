// Makes a document of a response and has the browser keep it with its recording; loaded when a file is done.
import { config } from "../config.js";
import { fromResponse } from "../transcript/model.js";
import { openTranscript } from "../transcript/open.js";

export { removeDocument, saveAudio } from "../storage/index.js";

/** @typedef {import("../transcript/types.js").TranscriptDocument} TranscriptDocument */

/**
 * @param {import("./queue.js").Item} item
 * @param {{response: string, jobId: string}} about
 * @returns {Promise<TranscriptDocument>}
 */
export async function keepTranscript(item, { response, jobId }) {
  const model = item.options?.model || config.model;
  const document = fromResponse(response, { fileName: item.name, model, ...(jobId ? { jobId } : {}) });
  return (await openTranscript(document, item.file, { peaks: item.peaks, show: false })).doc;
}
