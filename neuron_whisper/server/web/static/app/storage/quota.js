// How many bytes of recordings are kept, and which are evicted for another.

export const DEFAULT_LIMIT_BYTES = 2 * 1024 ** 3;
const SHARE_OF_QUOTA = 0.6;

/**
 * @param {{quota?: number, usage?: number} | null} estimate of the browser; null where it gives none
 * @returns {number} bytes that all recordings together may have
 */
export function limitOf(estimate) {
  if (!estimate?.quota) return DEFAULT_LIMIT_BYTES;
  return Math.min(DEFAULT_LIMIT_BYTES, Math.floor(estimate.quota * SHARE_OF_QUOTA));
}

/**
 * The recordings to evict, the oldest first, so that one of `size` bytes has room. null: it is larger than the limit.
 * @param {readonly {id: string, size: number, savedAt: number}[]} kept
 * @param {number} size bytes
 * @param {number} limit bytes
 * @returns {string[] | null} ids
 */
export function chooseEvicted(kept, size, limit) {
  if (size > limit) return null;
  let used = kept.reduce((sum, audio) => sum + audio.size, 0);
  const evicted = [];
  for (const audio of [...kept].sort((one, other) => one.savedAt - other.savedAt)) {
    if (used + size <= limit) break;
    evicted.push(audio.id);
    used -= audio.size;
  }
  return evicted;
}

/**
 * The browser's quota and use, null where it tells none (a page over plain HTTP).
 * @returns {Promise<{quota?: number, usage?: number} | null>}
 */
export async function estimateQuota() {
  try {
    return (await navigator.storage?.estimate?.()) ?? null;
  } catch {
    return null;
  }
}

let hasAsked = false;

/** Asks the browser, once, not to clear what is kept when its room gets short: there is work in it. */
export function askToPersist() {
  if (hasAsked) return;
  hasAsked = true;
  globalThis.navigator?.storage?.persist?.().catch(() => {});
}
