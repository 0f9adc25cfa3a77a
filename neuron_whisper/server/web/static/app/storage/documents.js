// Transcripts kept by this browser: list, load, save with a check of the revision, remove.
import { announce } from "./channel.js";
import { openedDatabase, result, transact } from "./database.js";

/** @typedef {import("../transcript/types.js").TranscriptDocument} TranscriptDocument */
/** @typedef {import("../transcript/types.js").Peaks} Peaks */
/**
 * @typedef {object} Entry what a list shows of a document
 * @property {string} id
 * @property {string} fileName
 * @property {number} createdAt milliseconds since 1970
 * @property {number} updatedAt
 * @property {number} duration seconds
 * @property {string} language
 * @property {string} task
 * @property {string} excerpt the beginning of its text
 * @property {boolean} isEdited
 * @property {string} [model]
 * @property {string} [jobId]
 */
/** @typedef {{saved: true, revision: number} | {saved: false, theirs: TranscriptDocument}} SaveResult */

const EXCERPT_LENGTH = 160;
const PART = 100; // segments
const STORES = ["entries", "documents", "parts", "sources"];

/** What this tab has read or written last, by id: parts with the same segments are not written again. */
const known = /** @type {Map<string, {revision: number, segments: readonly unknown[]}>} */ (new Map());

/** The saving that goes on. @type {IDBTransaction | null} */
let saving = null;

/** Everything that is kept, the newest first. @returns {Promise<Entry[]>} */
export async function listDocuments() {
  const entries = await transact(["entries"], "readonly", (it) => result(it.objectStore("entries").getAll()));
  return entries.sort((one, other) => other.createdAt - one.createdAt);
}

/** @param {string} id @returns {Promise<TranscriptDocument | null>} */
export async function loadDocument(id) {
  const document = await transact(STORES, "readonly", (transaction) => read(transaction, id));
  if (document) remember(document, document.revision);
  return document;
}

/** @param {string} id @returns {Promise<Peaks | null>} */
export async function loadPeaks(id) {
  const source = await transact(["sources"], "readonly", (it) => result(it.objectStore("sources").get(id)));
  return source?.peaks ?? null;
}

/**
 * Saves the document as the revision after its own. If another tab has saved it since, nothing is written and theirs is
 * given.
 * @param {TranscriptDocument} document
 * @param {{peaks?: Peaks | null}} [about]
 * @returns {Promise<SaveResult>}
 */
export async function saveDocument(document, { peaks } = {}) {
  const saved = await transact(STORES, "readwrite", async (transaction) => {
    saving = transaction;
    const kept = await result(transaction.objectStore("documents").get(document.id));
    if (kept && kept.revision !== document.revision) {
      const theirs = /** @type {TranscriptDocument} */ (await read(transaction, document.id));
      return { saved: /** @type {const} */ (false), theirs };
    }
    if (!kept || peaks) await writeSource(transaction, document, peaks);
    // one part a task: the page answers between them
    for (const part of writeHead(transaction, document, Boolean(kept))) {
      await result(transaction.objectStore("parts").put(part));
    }
    return { saved: /** @type {const} */ (true), revision: document.revision + 1 };
  });
  if (saved.saved) {
    remember(document, saved.revision);
    announce({ kind: "saved", id: document.id, revision: saved.revision });
  } else {
    remember(saved.theirs, saved.theirs.revision);
  }
  return saved;
}

/** @param {TranscriptDocument} document @param {number} revision */
function remember({ id, segments }, revision) {
  known.set(id, { revision, segments });
}

/**
 * Saves the document while the page is being closed, without waiting. Only for a document that this tab has saved or
 * loaded and whose saves by other tabs it has joined: there is no time left to look.
 * @param {TranscriptDocument} document
 * @returns {boolean} whether it was begun
 */
export function saveAtOnce(document) {
  const database = openedDatabase();
  if (!database) return false;
  try {
    saving?.abort(); // it would end with the page, and this one, behind it, with it
  } catch {
    // it has ended
  }
  const transaction = database.transaction(STORES, "readwrite");
  for (const part of writeHead(transaction, document, true)) transaction.objectStore("parts").put(part);
  transaction.commit?.();
  announce({ kind: "saved", id: document.id, revision: document.revision + 1 });
  return true;
}

/** Removes the document; its recording is removed by `removeAudio`. @param {string} id */
export async function deleteDocument(id) {
  await transact(STORES, "readwrite", (transaction) => {
    for (const store of ["entries", "documents", "sources"]) transaction.objectStore(store).delete(id);
    transaction.objectStore("parts").delete(partsOf(id));
  });
  known.delete(id);
  announce({ kind: "removed", id });
}

/** @param {string} id */
const partsOf = (id) => IDBKeyRange.bound([id], [id, []]); // an array is behind every number

/** @param {IDBTransaction} transaction @param {string} id @returns {Promise<TranscriptDocument | null>} */
async function read(transaction, id) {
  const [document, parts, source] = await Promise.all([
    result(transaction.objectStore("documents").get(id)),
    result(transaction.objectStore("parts").getAll(partsOf(id))),
    result(transaction.objectStore("sources").get(id)),
  ]);
  if (!document) return null;
  return { ...document, segments: parts.flatMap((part) => part.segments), raw: source?.raw ?? null };
}

/**
 * Writes all but the parts, and gives those that have to be written.
 * @param {IDBTransaction} transaction
 * @param {TranscriptDocument} document
 * @param {boolean} isKept a revision of it is in the database: the document's own
 */
function writeHead(transaction, document, isKept) {
  const { raw: _, segments, ...rest } = { ...document, revision: document.revision + 1 };
  const { id } = document;
  const before = known.get(id);
  const isKnown = isKept && before?.revision === document.revision && before.segments.length === segments.length;
  transaction.objectStore("documents").put(rest);
  transaction.objectStore("entries").put(entryOf(document));
  if (!isKnown) transaction.objectStore("parts").delete(partsOf(id));
  const parts = [];
  for (let from = 0; from < segments.length; from += PART) {
    const part = segments.slice(from, from + PART);
    if (isKnown && part.every((segment, at) => segment === before.segments[from + at])) continue;
    parts.push({ id, part: from / PART, segments: part });
  }
  return parts;
}

/** @param {IDBTransaction} transaction @param {TranscriptDocument} document @param {Peaks | null} [peaks] */
async function writeSource(transaction, document, peaks) {
  const store = transaction.objectStore("sources");
  const kept = await result(store.get(document.id));
  const packed = peaks && { peaks_per_second: peaks.peaks_per_second, peaks: Uint8Array.from(peaks.peaks) };
  store.put({ id: document.id, raw: document.raw, peaks: packed ?? kept?.peaks ?? null });
}

/** @param {TranscriptDocument} document @returns {Entry} */
function entryOf(document) {
  const { id, fileName, createdAt, updatedAt, duration, language, task, model, jobId } = document;
  let excerpt = "";
  for (const segment of document.segments) {
    excerpt += segment.text;
    if (excerpt.length >= EXCERPT_LENGTH) break;
  }
  const isEdited = Object.keys(document.speakers).length > 0 || document.segments.some((segment) => segment.original);
  return {
    ...{ id, fileName, createdAt, updatedAt, duration, language, task, isEdited },
    excerpt: excerpt.trim().slice(0, EXCERPT_LENGTH),
    ...(model ? { model } : {}),
    ...(jobId ? { jobId } : {}),
  };
}
