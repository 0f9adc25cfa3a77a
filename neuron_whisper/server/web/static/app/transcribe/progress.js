// How far a file is, and how long it will take: numbers and their texts.

/**
 * Share of the audio that is transcribed, 0 to 1; null while that is unknown.
 * @param {{done: number, duration: number | null}} item
 */
export function getFraction({ done, duration }) {
  if (!duration || duration <= 0) return null;
  return Math.min(1, done / duration);
}

/**
 * Seconds that are left, null while there is too little to tell by.
 * @param {{done: number, duration: number | null, elapsed: number}} values seconds of audio done and in all, seconds
 * since the start
 */
export function estimateLeft({ done, duration, elapsed }) {
  if (!duration || done <= 0 || elapsed < 1) return null;
  return Math.max(0, (duration - done) / (done / elapsed));
}
