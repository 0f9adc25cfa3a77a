// The queue of this page, and how files come into it and start.
import { config } from "../config.js";
import { locale, t } from "../i18n.js";
import { createStore } from "../state.js";
import { readDuration } from "./duration.js";
import { findLimit } from "./limits.js";
import { options } from "./options.js";
import { formatClock, formatLimit, formatSize } from "../ui/figures.js";
import { createItem, reduce } from "./queue.js";

/** Audio of more seconds than this is sent as a job, where the server has them. */
export const LONG_SECONDS = 600;

/** @typedef {import("./queue.js").Item} Item */

export const queue = createStore({ items: /** @type {Item[]} */ ([]) });
let lastId = 0;
/** @type {Map<string, Promise<void>>} of the files' limits, by id */
const checks = new Map();

/** @param {import("./queue.js").Action} action */
export function dispatch(action) {
  queue.set((state) => reduce(state, action));
}

/** @param {string} id */
export function getItem(id) {
  return queue.get().items.find((item) => item.id === id);
}

/**
 * Adds files, and reads how long they are.
 * @param {Iterable<File>} files
 * @param {{duration?: number | null, isRecorded?: boolean}} [about] `duration` of a recording, whose file does not tell
 * @returns {Promise<string[]>} their ids, once their limits are checked
 */
export async function addFiles(files, { duration, isRecorded } = {}) {
  const items = [...files].map((file) =>
    createItem({ id: `${Date.now().toString(36)}-${(lastId += 1)}`, file, duration, isRecorded }),
  );
  dispatch({ type: "add", items });
  for (const item of items) checks.set(item.id, checkFile(item));
  await Promise.all(items.map(({ id }) => checks.get(id)));
  return items.map((item) => item.id);
}

/** @param {Item} item */
async function checkFile({ id, file, duration }) {
  if (refuseOverLimit(id, file.size, duration) || duration !== null) return;
  const seconds = await readDuration(file);
  if (seconds === null) return;
  dispatch({ type: "duration", id, seconds });
  refuseOverLimit(id, file.size, seconds);
}

/** @param {string} id @param {number} size @param {number | null} duration */
function refuseOverLimit(id, size, duration) {
  const found = findLimit({ size, duration }, config);
  if (!found) return false;
  const texts = {
    empty: () => t("transcribe.limitEmpty"),
    bytes: () =>
      t("transcribe.limitBytes", {
        size: formatSize(size, locale.get().code),
        limit: formatSize(found.limit, locale.get().code),
      }),
    seconds: () =>
      t("transcribe.limitSeconds", {
        length: formatClock(duration ?? 0),
        limit: formatLimit(found.limit, locale.get().code),
      }),
  };
  const error = { message: texts[found.kind](), code: `limit_${found.kind}`, param: "file", status: 0, retryAt: 0 };
  dispatch({ type: "refuse", id, error });
  return true;
}

/**
 * Puts files that are ready in line with what is chosen now, once their limits are checked: a long one becomes a job.
 * @param {string[]} [ids] all that are ready
 */
export async function startItems(ids) {
  const listReady = () =>
    queue.get().items.filter((item) => item.state === "ready" && !item.error && (!ids || ids.includes(item.id)));
  await Promise.all(listReady().map(({ id }) => checks.get(id)));
  const ready = listReady();
  const { values } = options.get();
  dispatch({
    type: "start",
    ids: ready.map((item) => item.id),
    options: values,
    hasJobs: config.hasJobs,
    longSeconds: LONG_SECONDS,
    maxUploadBytes: config.maxUploadBytes,
  });
}
