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
