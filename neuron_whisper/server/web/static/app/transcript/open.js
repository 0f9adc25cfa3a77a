// Keeps a finished transcript in this browser, and finds it again by its id.
import { loadAudio, loadDocument, loadPeaks, saveAudio, saveDocument } from "../storage/index.js";

/** @typedef {import("./types.js").TranscriptDocument} TranscriptDocument */
/** @typedef {import("./types.js").Peaks} Peaks */
/**
 * @typedef {object} OpenedTranscript
 * @property {TranscriptDocument} doc
 * @property {Blob | string | null} audio
 * @property {Peaks | null} peaks
 * @property {string} notice key of a text about what was not kept, "" where all was
 */

const MAX_RECENT = 3; // recordings that the browser did not keep are held while the page is open

/** @type {Map<string, {audio: Blob | string | null, peaks: Peaks | null, doc: TranscriptDocument, notice: string}>} */
const recent = new Map();

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
  recent.delete(doc.id);
  recent.set(doc.id, opened);
  for (const id of [...recent.keys()].slice(0, -MAX_RECENT)) recent.delete(id);
  if (show) location.hash = `#transcript/${doc.id}`;
  return opened;
}

/**
 * The transcript of an id, null where this browser does not have it.
 * @param {string} id
 * @returns {Promise<OpenedTranscript | null>}
 */
export async function loadTranscript(id) {
  const held = recent.get(id);
  try {
    const [doc, audio, peaks] = await Promise.all([loadDocument(id), loadAudio(id), loadPeaks(id)]);
    if (!doc) return held?.doc.revision === 0 ? held : null;
    const { audio: heldAudio = null, peaks: heldPeaks = null, notice = "" } = held ?? {};
    return { doc, audio: audio ?? heldAudio, peaks: peaks ?? heldPeaks, notice };
  } catch {
    return held ?? null; // the browser keeps nothing
  }
}

/** @param {TranscriptDocument} doc @param {Blob | string | null} audio @param {Peaks | null} peaks */
async function keep(doc, audio, peaks) {
  try {
    const saved = await saveDocument(doc, { peaks });
    const kept = saved.saved ? { ...doc, revision: saved.revision } : saved.theirs;
    if (!(audio instanceof Blob)) return { doc: kept, notice: "" };
    const result = await saveAudio(doc.id, audio);
    return { doc: kept, notice: result.kept ? "" : `transcript.audioNotKept.${result.reason}` };
  } catch {
    return { doc, notice: "transcript.nothingKept" };
  }
}
