// What this browser keeps: documents in IndexedDB, recordings in OPFS (or IndexedDB) below a limit.
//
// saveDocument(document, {peaks}?) -> {saved: true, revision} | {saved: false, theirs}   listDocuments() -> [Entry]
// loadDocument(id) -> document | null   loadPeaks(id) -> peaks | null   removeDocument(id) with its recording
// saveAudio(id, blob) -> {kept: true, evicted: [id]} | {kept: false, reason: "limit" | "quota" | "unavailable", limit}
// loadAudio(id) -> Blob | null   removeAudio(id)   storageUse() -> {used, limit, count, hasQuota}   in bytes
// audioIds() -> Set of ids whose recording is kept
// onAnnounced(listener) tells what this tab and others saved or removed. All but saveAudio and onAnnounced reject
// where the browser keeps nothing.
import { listAudio, removeAudio } from "./audio.js";
import { deleteDocument } from "./documents.js";

export { listAudio, loadAudio, removeAudio, saveAudio, storageUse } from "./audio.js";
export { onAnnounced } from "./channel.js";
export { askToPersist } from "./quota.js";
export { listDocuments, loadDocument, loadPeaks, saveAtOnce, saveDocument } from "./documents.js";

/** Removes a document and its recording. @param {string} id */
export async function removeDocument(id) {
  await deleteDocument(id);
  await removeAudio(id);
}

/** Ids of the documents whose recording is kept. */
export async function audioIds() {
  return new Set((await listAudio()).map((audio) => audio.id));
}
