// The history's state: read from this browser and from the server, page by page; deletions that can be taken back.
import { deleteJob, listJobs } from "../api/jobs.js";
import { apiKey, lacksKey } from "../api/key.js";
import { config } from "../config.js";
import { t } from "../i18n.js";
import { createStore } from "../state.js";
import { audioIds, listDocuments, removeAudio, removeDocument, storageUse } from "../storage/index.js";
import { endToasts, showToast } from "../ui/toasts.js";

/** @typedef {import("./rows.js").Row} Row */

export const history = createStore({
  entries: /** @type {import("../storage/documents.js").Entry[]} */ ([]),
  jobs: /** @type {import("../api/jobs.js").Job[]} */ ([]),
  audio: /** @type {ReadonlySet<string>} */ (new Set()),
  use: /** @type {{used: number, limit: number} | null} */ (null),
  after: "", // the last job that was read, "" when there are no more
  isRead: false,
  problem: "",
  deleted: /** @type {ReadonlySet<string>} */ (new Set()), // ids of rows that are hidden, to be deleted soon
});

let lastKey = apiKey.get().value;

/** Reads what this browser keeps and the newest jobs; those of another key are forgotten. */
export async function readHistory() {
  const key = apiKey.get().value;
  if (key !== lastKey) history.set({ jobs: [], after: "" });
  lastKey = key;
  const [local, remote] = await Promise.allSettled([readBrowser(), config.hasJobs && !lacksKey() ? listJobs() : null]);
  if (local.status === "fulfilled") history.set(local.value);
  if (apiKey.get().value !== key) return;
  if (remote.status === "fulfilled" && remote.value) {
    const { data, has_more, last_id } = remote.value;
    const older = history
      .get()
      .jobs.filter((job) => !data.some((known) => known.id === job.id) && isBefore(job, data.at(-1)));
    // pages that were read further down stay, as a poll reads the first only
    history.set({
      jobs: [...data, ...older],
      after: older.length ? history.get().after : has_more ? (last_id ?? "") : "",
      problem: "",
    });
  }
  if (remote.status === "rejected") history.set({ problem: remote.reason.message });
  history.set({ isRead: true });
}

/** @param {import("../api/jobs.js").Job} job @param {import("../api/jobs.js").Job | undefined} last */
function isBefore(job, last) {
  return last !== undefined && job.created_at <= last.created_at;
}

/** Reads the next page of jobs. */
export async function readMore() {
  try {
    const asked = history.get().after;
    const { data, has_more, last_id } = await listJobs({ after: asked });
    if (history.get().after !== asked) return; // it was asked for twice, or the key is another
    history.set((state) => ({ jobs: [...state.jobs, ...data], after: has_more ? (last_id ?? "") : "", problem: "" }));
  } catch (/** @type {any} */ error) {
    history.set({ problem: error.message });
  }
}

async function readBrowser() {
  const [entries, audio, use] = await Promise.all([listDocuments(), audioIds(), storageUse()]);
  return { entries, audio, use };
}

/** Hides a row, and deletes it when its message goes without having been taken back. @param {Row} row */
export function deleteRow(row) {
  history.set((state) => ({ deleted: new Set([...state.deleted, row.id]) }));
  const undo = { label: t("history.undo"), run: () => show(row.id) };
  showToast(t("history.deleted", { name: row.name }), undo, () => void commit(row));
}

/** @param {string} id */
function show(id) {
  history.set((state) => ({ deleted: new Set([...state.deleted].filter((other) => other !== id)) }));
}

/** @param {Row} row */
async function commit(row) {
  try {
    if (row.isKept) await removeDocument(row.id);
    else if (row.hasAudio) await removeAudio(row.id);
    if (row.jobId) await deleteJob(row.jobId);
    history.set((state) => ({
      entries: state.entries.filter((entry) => entry.id !== row.id),
      jobs: state.jobs.filter((job) => job.id !== row.jobId),
    }));
  } catch (/** @type {any} */ error) {
    showToast(t("history.notDeleted", { name: row.name, reason: error.message }));
  }
  show(row.id);
}

// a page that is closed deletes at once what was hidden
globalThis.addEventListener?.("pagehide", endToasts);
