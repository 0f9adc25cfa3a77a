// How long a file is, as far as the browser can tell before it is sent.

const PATIENCE_MS = 3000;

/**
 * @param {Blob} file
 * @returns {Promise<number | null>} seconds; null where the browser does not know this format, or the file does not
 * tell
 */
export function readDuration(file) {
  return new Promise((resolve) => {
    const audio = document.createElement("audio");
    const url = URL.createObjectURL(file);
    const finish = (/** @type {number | null} */ seconds) => {
      clearTimeout(timer);
      audio.removeAttribute("src");
      audio.load();
      URL.revokeObjectURL(url);
      resolve(seconds !== null && Number.isFinite(seconds) && seconds > 0 ? seconds : null);
    };
    const timer = setTimeout(() => finish(null), PATIENCE_MS);
    audio.preload = "metadata";
    audio.onloadedmetadata = () => finish(audio.duration);
    audio.onerror = () => finish(null);
    audio.src = url;
  });
}
