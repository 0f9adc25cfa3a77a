// An open document: its edits with undo, saved as they are made, joined with what other tabs save.
import { createStore } from "../state.js";
import { askToPersist, loadDocument, onAnnounced, saveAtOnce, saveDocument } from "../storage/index.js";
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
/** @typedef {ReturnType<typeof startSession>} Session */

const SAVE_AFTER_MS = 400;
const RETRY_AFTER_MS = 5000;

/** Closed, with edits that are not saved (yet): opened again they are still there. @type {Map<string, Session>} */
const unsaved = new Map();

/** The document with edits that could not be saved. @param {string} id */
export function findUnsaved(id) {
  return unsaved.get(id)?.store.get().history.document ?? null;
}

/** @param {TranscriptDocument} document as it was loaded or has just been made */
export function openSession(document) {
  const session = unsaved.get(document.id) ?? startSession(document);
  session.reopen();
  return session;
}

/** @param {TranscriptDocument} document */
function startSession(document) {
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
  let isOpen = true;
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
    askToPersist();
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
    if (!isDirty()) return leave();
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
      store.set({ isRemoved: false });
      leave();
    } catch {
      store.set({ saving: "failed" });
      clearTimeout(timer);
      timer = setTimeout(save, RETRY_AFTER_MS);
    }
  }

  /** After a saving: tells how it stands, and ends what was closed. */
  function leave() {
    if (isKept) store.set({ saving: isDirty() ? "waiting" : "saved" });
    if (!isOpen && !isDirty()) end();
  }

  function end() {
    clearTimeout(timer);
    unsaved.delete(document.id);
    stopListening();
    globalThis.document?.removeEventListener("visibilitychange", onHidden);
    globalThis.removeEventListener?.("pagehide", onLeave);
    globalThis.removeEventListener?.("beforeunload", onUnload);
  }

  const stopListening = onAnnounced(async (message) => {
    if (message.id !== document.id || isDiscarded) return;
    if (message.kind === "removed") {
      isKept = false;
      store.set({ isRemoved: true });
      if (isOpen) return;
      isDiscarded = true; // not in view: nobody goes on with it
      end();
    }
    if (message.kind !== "saved") return;
    await saving; // it may be what is being saved here
    if (message.revision <= now().revision) return;
    const theirs = await loadDocument(document.id).catch(() => null);
    if (theirs && theirs.revision > now().revision) join(theirs);
  });

  const onHidden = () => void (globalThis.document.visibilityState === "hidden" && save());
  const onLeave = () => {
    if (isDirty() && isKept && saveAtOnce(now())) saved = now();
  };
  const onUnload = (/** @type {Event} */ event) => {
    if (isDirty() && (!isKept || store.get().saving === "failed")) event.preventDefault(); // the browser asks
  };
  globalThis.document?.addEventListener("visibilitychange", onHidden);
  globalThis.addEventListener?.("pagehide", onLeave);
  globalThis.addEventListener?.("beforeunload", onUnload);
  if (isNew) save();

  const session = {
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
    reopen() {
      isOpen = true;
    },
    /** Ends it once all is saved. */
    close() {
      isOpen = false;
      if (isDirty()) unsaved.set(document.id, session);
      return save();
    },
  };
  return session;
}
