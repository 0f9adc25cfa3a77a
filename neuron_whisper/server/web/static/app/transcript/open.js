// Keeps a finished transcript in this browser, and finds it again by its id.
import { loadAudio, loadDocument, loadPeaks, onAnnounced, saveAudio, saveDocument } from "../storage/index.js";
import { findUnsaved } from "./session.js";

/** @typedef {import("./types.js").TranscriptDocument} TranscriptDocument */
/** @typedef {import("./types.js").Peaks} Peaks */
/**
 * @typedef {object} OpenedTranscript
 * @property {TranscriptDocument} doc
 * @property {Blob | string | null} audio
 * @property {Peaks | null} peaks
 * @property {string} notice key of a text about what was not kept, "" where all was
 */

const MAX_HELD = 3; // what the browser did not keep is held while the page is open

/** @type {Map<string, OpenedTranscript>} */
const held = new Map();
onAnnounced(({ kind, id }) => void (kind === "removed" && held.delete(id)));

/**
 * Keeps a document, with its recording and peaks, and shows it.
 * @param {TranscriptDocument} doc
 * @param {Blob | string | null} [audio] the recording, or its URL, which is not kept
 * @param {{peaks?: Peaks | null, show?: boolean}} [about] `show` false: keep it only
 * @returns {Promise<OpenedTranscript>} `notice`: a key of the page's texts about what was not kept, "" where all was
 */
export async function openTranscript(doc, audio = null, { peaks = null, show = true } = {}) {
  const { doc: kept, notice } = await keep(doc, audio, peaks);
  const opened = { doc: kept, audio, peaks, notice };
  held.delete(doc.id);
  if (notice || typeof audio === "string") held.set(doc.id, opened);
  for (const id of [...held.keys()].slice(0, -MAX_HELD)) held.delete(id);
  if (show) location.hash = `#transcript/${doc.id}`;
  return opened;
}

/**
 * The transcript of an id, null where this browser does not have it.
 * @param {string} id
 * @returns {Promise<OpenedTranscript | null>}
 */
export async function loadTranscript(id) {
  const unsaved = findUnsaved(id);
  const own = held.get(id) ?? (unsaved && { doc: unsaved, audio: null, peaks: null, notice: "" });
  try {
    const [kept, audio, peaks] = await Promise.all([loadDocument(id), loadAudio(id), loadPeaks(id)]);
    const doc = unsaved ?? kept;
    if (!doc) return own;
    return { doc, audio: audio ?? own?.audio ?? null, peaks: peaks ?? own?.peaks ?? null, notice: own?.notice ?? "" };
  } catch {
    return own; // the browser keeps nothing
  }
}

/** @param {TranscriptDocument} doc @param {Blob | string | null} audio @param {Peaks | null} peaks */
async function keep(doc, audio, peaks) {
  try {
    const saved = await saveDocument(doc, { peaks });
    const kept = saved.saved ? { ...doc, revision: saved.revision } : saved.theirs;
    if (!(audio instanceof Blob)) return { doc: kept, notice: "" };
    if ((await loadAudio(doc.id))?.size === audio.size) return { doc: kept, notice: "" }; // of a job, since it began
    const result = await saveAudio(doc.id, audio);
    return { doc: kept, notice: result.kept ? "" : `transcript.audioNotKept.${result.reason}` };
  } catch {
    return { doc, notice: "transcript.nothingKept" };
  }
}
