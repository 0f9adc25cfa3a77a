// Keeps the screen on while captions run, where the browser can; it lets go by itself when the page is hidden.

/** @type {{release: () => Promise<void>} | null} */
let lock = null;
let isWanted = false;

/** @param {boolean} wanted */
export async function keepAwake(wanted) {
  isWanted = wanted;
  if (!wanted) {
    await lock?.release().catch(() => {});
    lock = null;
    return;
  }
  try {
    lock = (await navigator.wakeLock?.request("screen")) ?? null;
  } catch {
    lock = null; // low battery, or a page in the background: captions run all the same
  }
}

globalThis.document?.addEventListener("visibilitychange", () => {
  if (isWanted && document.visibilityState === "visible") void keepAwake(true);
});
