// The rows of the history: documents of this browser and jobs of the server, joined, searched and grouped. Pure.

/** @typedef {import("../storage/documents.js").Entry} Entry */
/** @typedef {import("../api/jobs.js").Job} Job */

/**
 * @typedef {object} Row
 * @property {string} id of the document, else of the job
 * @property {string} name
 * @property {number} at ms since 1970
 * @property {number | null} duration seconds
 * @property {"done" | "queued" | "running" | "failed" | "cancelled"} state
 * @property {string} language
 * @property {string} excerpt the beginning of its text
 * @property {string} error why a job failed
 * @property {number | null} percent of a running job
 * @property {boolean} isKept by this browser
 * @property {boolean} hasAudio whether the browser has its recording
 * @property {string} jobId "" where the server has none
 * @property {number | null} expiresAt ms since 1970: when the server deletes it
 */

/**
 * All rows, the newest first. A job and the document that was made of it are one row.
 * @param {Entry[]} entries
 * @param {Job[]} jobs
 * @param {ReadonlySet<string>} audio ids whose recording is kept
 * @param {boolean} [hasMore] the server has further jobs: a document's may be among them
 * @returns {Row[]}
 */
export function joinRows(entries, jobs, audio, hasMore = false) {
  const byId = new Map(jobs.map((job) => [job.id, job]));
  const kept = entries.map((entry) => toDocumentRow(entry, byId.get(entry.jobId ?? ""), audio, hasMore));
  const joined = new Set(entries.map((entry) => entry.jobId));
  const others = jobs.filter((job) => !joined.has(job.id)).map((job) => toJobRow(job, audio));
  return [...kept, ...others].sort((one, other) => other.at - one.at);
}

/**
 * @param {Entry} entry @param {Job | undefined} job @param {ReadonlySet<string>} audio @param {boolean} hasMore
 * @returns {Row}
 */
function toDocumentRow(entry, job, audio, hasMore) {
  return {
    id: entry.id,
    name: entry.fileName,
    at: entry.createdAt,
    duration: entry.duration,
    state: "done",
    language: entry.language,
    excerpt: entry.excerpt,
    error: "",
    percent: null,
    isKept: true,
    hasAudio: audio.has(entry.id),
    jobId: job?.id ?? (hasMore ? (entry.jobId ?? "") : ""),
    expiresAt: toMs(job?.expires_at),
  };
}

/** @param {Job} job @param {ReadonlySet<string>} audio @returns {Row} */
function toJobRow(job, audio) {
  const { progress, status } = job;
  const total = progress?.total_s ?? null;
  return {
    id: job.id,
    name: job.file_name,
    at: job.created_at * 1000,
    duration: job.usage?.seconds ?? total,
    state: status === "succeeded" ? "done" : status,
    language: job.language ?? "",
    excerpt: "",
    error: job.error?.message ?? "",
    percent: total && progress ? Math.min(100, Math.floor((100 * progress.done_s) / total)) : null,
    isKept: false,
    hasAudio: audio.has(job.id),
    jobId: job.id,
    expiresAt: toMs(job.expires_at),
  };
}

/** @param {number | null | undefined} seconds */
function toMs(seconds) {
  return seconds === null || seconds === undefined ? null : seconds * 1000;
}

/** Rows whose name has every word of the query, however it is written. @param {Row[]} rows @param {string} query */
export function searchRows(rows, query) {
  const words = fold(query).split(/\s+/).filter(Boolean);
  return rows.filter((row) => words.every((word) => fold(row.name).includes(word)));
}

/** @param {string} text */
function fold(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLocaleLowerCase();
}

/**
 * Rows by their day, in the reader's time zone; `daysAgo` 0 is today.
 * @param {Row[]} rows the newest first
 * @param {number} now ms since 1970
 * @returns {{day: number, daysAgo: number, rows: Row[]}[]} `day`: its midnight in ms since 1970
 */
export function groupByDay(rows, now) {
  const today = toMidnight(now);
  /** @type {{day: number, daysAgo: number, rows: Row[]}[]} */
  const groups = [];
  for (const row of rows) {
    const day = toMidnight(row.at);
    const last = groups.at(-1);
    if (last?.day === day) last.rows.push(row);
    else groups.push({ day, daysAgo: Math.round((today - day) / 86_400_000), rows: [row] }); // a day may have 23 h
  }
  return groups;
}

/** @param {number} ms */
function toMidnight(ms) {
  return new Date(ms).setHours(0, 0, 0, 0);
}
