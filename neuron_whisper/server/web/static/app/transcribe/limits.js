// Whether a file is within the server's limits, before it is sent.

/**
 * @typedef {object} Limits
 * @property {number} maxUploadBytes of a request
 * @property {number} maxAudioSeconds of a request
 * @property {boolean} hasJobs
 * @property {number} jobsMaxUploadBytes
 * @property {number} jobsMaxAudioSeconds
 */

/**
 * Why a file cannot be sent: "empty", "bytes" or "seconds" with the limit; null when it can. With
 * jobs their limits hold, as a file that is too large for a request becomes a job.
 * @param {{size: number, duration: number | null}} file
 * @param {Limits} limits
 * @returns {{kind: "empty" | "bytes" | "seconds", limit: number} | null}
 */
export function findLimit({ size, duration }, limits) {
  if (size === 0) return { kind: "empty", limit: 0 };
  const { hasJobs, maxUploadBytes, maxAudioSeconds, jobsMaxUploadBytes, jobsMaxAudioSeconds } = limits;
  const maxBytes = hasJobs ? Math.max(maxUploadBytes, jobsMaxUploadBytes) : maxUploadBytes;
  const maxSeconds = hasJobs ? Math.max(maxAudioSeconds, jobsMaxAudioSeconds) : maxAudioSeconds;
  if (maxBytes > 0 && size > maxBytes) return { kind: "bytes", limit: maxBytes };
  if (maxSeconds > 0 && duration !== null && duration > maxSeconds) return { kind: "seconds", limit: maxSeconds };
  return null;
}
