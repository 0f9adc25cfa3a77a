// An open document: its edits with undo, saved as they are made, joined with what other tabs save.
import { createStore } from "../state.js";
import { loadDocument, onAnnounced, saveAtOnce, saveDocument } from "../storage/index.js";
import { redo, startHistory, takeDocument, undo } from "./edits.js";
import { mergeDocuments } from "./merge.js";

/** @typedef {import("./types.js").TranscriptDocument} TranscriptDocument */
/** @typedef {import("./edits.js").History} History */
/**
 * @typedef {object} SessionState
 * @property {History} history
 * @property {"saved" | "waiting" | "failed"} saving
 * @property {{index: number, theirs: string}[]} conflicts segments that another tab changed too, with its text
 * @property {boolean} isRemoved another tab removed the document
 */
/** @typedef {ReturnType<typeof openSession>} Session */

const SAVE_AFTER_MS = 400;

/** @param {TranscriptDocument} document as it was loaded or has just been made */
export function openSession(document) {
  const store = createStore(
    /** @type {SessionState} */ ({
      history: startHistory(document),
      saving: document.revision ? "saved" : "waiting",
      conflicts: [],
      isRemoved: false,
    }),
  );
  let saved = document; // what this tab last loaded or saved
  let isKept = document.revision > 0;
  let isNew = !isKept; // nobody has saved it yet
  let isDiscarded = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let saving = Promise.resolve();

  const now = () => store.get().history.document;
  const isDirty = () =>
    !isDiscarded && (isNew || now().segments !== saved.segments || now().speakers !== saved.speakers);

  /** @param {(history: History) => History} edit */
  function change(edit) {
    const before = store.get().history;
    const history = edit(before);
    if (history === before) return;
    store.set({ history: { ...history, document: { ...history.document, updatedAt: Date.now() } }, saving: "waiting" });
    clearTimeout(timer);
    timer = setTimeout(save, SAVE_AFTER_MS);
  }

  /** @param {number} revision */
  function setRevision(revision) {
    store.set(({ history }) => ({ history: { ...history, document: { ...history.document, revision } } }));
  }

  /** @param {TranscriptDocument} theirs */
  function join(theirs) {
    const { document: merged, conflicts } = mergeDocuments(saved, now(), theirs);
    saved = theirs;
    isKept = true;
    isNew = false;
    store.set((state) => ({
      history: takeDocument(state.history, merged),
      conflicts: [...state.conflicts.filter((it) => !conflicts.some(({ index }) => index === it.index)), ...conflicts],
      isRemoved: false,
    }));
  }

  /** Saves what is not saved yet, after a saving that goes on. */
  function save() {
    clearTimeout(timer);
    saving = saving.then(write);
    return saving;
  }

  async function write() {
    if (!isDirty()) return isKept ? store.set({ saving: "saved" }) : undefined;
    const document = now();
    try {
      const answer = await saveDocument(document);
      if (!answer.saved) {
        join(answer.theirs);
        return write();
      }
      saved = document;
      isKept = true;
      isNew = false;
      setRevision(answer.revision);
      store.set({ saving: isDirty() ? "waiting" : "saved", isRemoved: false });
    } catch {
      store.set({ saving: "failed" });
    }
  }

  const stopListening = onAnnounced(async (message) => {
    if (message.id !== document.id) return;
    if (message.kind === "removed") {
      isKept = false;
      store.set({ isRemoved: true });
    }
    if (message.kind !== "saved" || message.revision <= now().revision) return;
    await saving;
    const theirs = await loadDocument(document.id).catch(() => null);
    if (theirs && theirs.revision > now().revision) join(theirs);
  });

  const onHidden = () => void (globalThis.document.visibilityState === "hidden" && save());
  const onLeave = () => {
    if (isDirty() && isKept && saveAtOnce(now())) saved = now();
  };
  globalThis.document?.addEventListener("visibilitychange", onHidden);
  globalThis.addEventListener?.("pagehide", onLeave);
  if (isNew) save();

  return {
    store,
    change,
    save,
    undo: () => change(undo),
    redo: () => change(redo),
    /** @param {number} index */
    settleConflict(index) {
      store.set(({ conflicts }) => ({ conflicts: conflicts.filter((it) => it.index !== index) }));
    },
    /** Nothing is saved any more, not even what was typed last: the document is being deleted. */
    async discard() {
      clearTimeout(timer);
      isDiscarded = true;
      await saving;
    },
    /** Ends it; what is not saved is saved. */
    close() {
      stopListening();
      globalThis.document?.removeEventListener("visibilitychange", onHidden);
      globalThis.removeEventListener?.("pagehide", onLeave);
      return save();
    },
  };
}
