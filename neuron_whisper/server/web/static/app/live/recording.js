// A recording while it grows: its samples, and how loud it is.
import { buildWavHeader } from "./wav.js";

export const PEAKS_PER_SECOND = 20;
const STORE_S = 30; // what is older goes into Blobs, which browsers may keep on disk

/**
 * Collects 16-bit mono samples.
 * @param {number} rate Hz, a multiple of PEAKS_PER_SECOND
 */
export function createRecording(rate) {
  /** @type {Blob[]} */
  const stored = [];
  /** @type {Int16Array[]} */
  let recent = [];
  let recentSamples = 0;
  let total = 0;
  /** @type {number[]} */
  const peaks = [];

  function store() {
    if (recent.length) stored.push(new Blob(/** @type {BlobPart[]} */ (recent)));
    recent = [];
    recentSamples = 0;
  }

  /** @param {Int16Array} samples that follow the `total` before */
  function measure(samples) {
    const perPeak = rate / PEAKS_PER_SECOND;
    for (let index = 0; index < samples.length; index += 1) {
      const at = Math.floor((total + index) / perPeak);
      peaks[at] = Math.max(peaks[at] ?? 0, Math.abs(samples[index]));
    }
  }
  return {
    /** @param {Int16Array} samples */
    push(samples) {
      measure(samples);
      recent.push(samples);
      recentSamples += samples.length;
      total += samples.length;
      if (recentSamples >= STORE_S * rate) store();
    },
    /** Seconds so far. */
    get seconds() {
      return total / rate;
    },
    /** The largest sample of each 1/20 s, 0 to 255. */
    get peaks() {
      return peaks.map((peak) => Math.min(255, Math.round((255 * peak) / 32767)));
    },
    /** The recording so far as a WAV file. */
    toBlob() {
      store();
      return new Blob([buildWavHeader(2 * total, rate), ...stored], { type: "audio/wav" });
    },
  };
}
