// The peaks of a recording, made few enough to draw.

export const MAX_DRAWN = 4000; // more bars than this no screen shows at once

/**
 * The largest of each group of peaks, 0 to 1. [0, 255, 51, 0] at most 2 -> [1, 0.2]
 * @param {ArrayLike<number>} peaks 0 to 255
 * @param {number} [count] at most this many
 * @returns {Float32Array}
 */
export function downsample(peaks, count = MAX_DRAWN) {
  const length = Math.min(count, peaks.length);
  const drawn = new Float32Array(length);
  for (let at = 0; at < peaks.length; at++) {
    const place = Math.floor((at * length) / peaks.length);
    drawn[place] = Math.max(drawn[place], peaks[at] / 255);
  }
  return drawn;
}

/** "1:02:03" or "2:03". @param {number} seconds */
export function formatClock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
