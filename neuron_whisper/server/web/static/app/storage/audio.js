// Recordings kept by this browser, in its private file system or else in the database, below a limit of bytes.
import { announce } from "./channel.js";
import { result, transact } from "./database.js";
import { chooseEvicted, estimateQuota, limitOf } from "./quota.js";

/**
 * @typedef {object} AudioEntry
 * @property {string} id of its document
 * @property {number} size bytes
 * @property {string} type MIME type
 * @property {number} savedAt milliseconds since 1970
 * @property {"opfs" | "database"} place
 * @property {Blob} [blob] in the database
 */
/**
 * @typedef {{kept: false, reason: "limit" | "quota" | "unavailable", limit: number}} NotKept `limit` in bytes
 * @typedef {{kept: true, evicted: string[]} | NotKept} AudioResult
 */

const DIRECTORY = "audio";

/**
 * Keeps the recording of a document; the oldest others are evicted when there is no room.
 * @param {string} id @param {Blob} blob @param {{now?: number}} [about]
 * @returns {Promise<AudioResult>}
 */
export async function saveAudio(id, blob, { now = Date.now() } = {}) {
  const limit = limitOf(await estimateQuota());
  try {
    const kept = (await listAudio()).filter((audio) => audio.id !== id);
    const evicted = chooseEvicted(kept, blob.size, limit);
    if (!evicted) return { kept: false, reason: "limit", limit };
    for (const other of evicted) await removeAudio(other);
    const waiting = kept.filter((audio) => !evicted.includes(audio.id));
    waiting.sort((one, other) => one.savedAt - other.savedAt);
    // the browser's own limit may come first: then further ones go, one by one, if they make room enough
    const canHelp = waiting.reduce((sum, audio) => sum + audio.size, 0) >= blob.size;
    for (;;) {
      try {
        await write(id, blob, now);
        return { kept: true, evicted };
      } catch (error) {
        const next = canHelp && waiting.shift();
        if (!isQuotaError(error)) throw error;
        if (!next) return { kept: false, reason: "quota", limit };
        await removeAudio(next.id);
        evicted.push(next.id);
      }
    }
  } catch {
    return { kept: false, reason: "unavailable", limit };
  }
}

/**
 * The recording of a document, null where it is not kept (any more).
 * @param {string} id
 * @returns {Promise<Blob | null>}
 */
export async function loadAudio(id) {
  /** @type {AudioEntry | undefined} */
  const entry = await transact(["audio"], "readonly", (it) => result(it.objectStore("audio").get(id)));
  if (!entry) return null;
  if (entry.blob) return entry.blob;
  try {
    const file = await (await (await openDirectory()).getFileHandle(id)).getFile();
    return file.size === entry.size ? file.slice(0, file.size, entry.type) : null;
  } catch {
    return null; // the browser cleared its files
  }
}

/** @param {string} id */
export async function removeAudio(id) {
  await transact(["audio"], "readwrite", (it) => void it.objectStore("audio").delete(id));
  try {
    await (await openDirectory()).removeEntry(id);
  } catch {
    // it was in the database, or gone
  }
  announce({ kind: "audio", id });
}

/** @returns {Promise<AudioEntry[]>} */
export async function listAudio() {
  return transact(["audio"], "readonly", (it) => result(it.objectStore("audio").getAll()));
}

/**
 * What recordings take, and may take.
 * @returns {Promise<{used: number, limit: number, count: number, hasQuota: boolean}>} bytes; whether the browser told
 *   its own limit
 */
export async function storageUse() {
  const [kept, estimate] = await Promise.all([listAudio(), estimateQuota()]);
  const used = kept.reduce((sum, audio) => sum + audio.size, 0);
  return { used, limit: limitOf(estimate), count: kept.length, hasQuota: Boolean(estimate?.quota) };
}

/** @param {string} id @param {Blob} blob @param {number} savedAt */
async function write(id, blob, savedAt) {
  const about = { id, size: blob.size, type: blob.type, savedAt };
  const inFiles = await writeFile(id, blob);
  /** @type {AudioEntry} */
  const entry = inFiles ? { ...about, place: "opfs" } : { ...about, place: "database", blob };
  await transact(["audio"], "readwrite", (it) => void it.objectStore("audio").put(entry));
}

/** Writes into the private file system; false where there is none. @param {string} id @param {Blob} blob */
async function writeFile(id, blob) {
  let handle;
  try {
    handle = await (await openDirectory()).getFileHandle(id, { create: true });
    if (!handle.createWritable) return false;
  } catch (error) {
    if (isQuotaError(error)) throw error;
    return false;
  }
  const writable = await handle.createWritable();
  await blob.stream().pipeTo(writable); // an error discards what was written
  return true;
}

async function openDirectory() {
  if (!navigator.storage?.getDirectory) throw new Error("the browser has no private file system");
  return (await navigator.storage.getDirectory()).getDirectoryHandle(DIRECTORY, { create: true });
}

/** @param {unknown} error */
function isQuotaError(error) {
  return error instanceof DOMException && error.name === "QuotaExceededError";
}
