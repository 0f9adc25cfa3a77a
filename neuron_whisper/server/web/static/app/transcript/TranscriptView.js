// A transcript to read, play and edit; while it grows, to read alone.
import { html, useEffect, useMemo, useRef, useState } from "../../vendor/htm-preact.js";
import { locale, t } from "../i18n.js";
import { createHighlight } from "../player/highlight.js";
import { formatClock } from "../ui/figures.js";
import { createPlayback } from "../player/playback.js";
import { Player } from "../player/Player.js";
import { createStore, useStore } from "../state.js";
import { Button } from "../ui/Button.js";
import { announce } from "../ui/toasts.js";
import { lastChanged, setText } from "./edits.js";
import { FindBar } from "./FindBar.js";
import { KeyHelp } from "./KeyHelp.js";
import { Keeping } from "./Keeping.js";
import { focusRow, onListClick, onListDoubleClick, onListKey } from "./listEvents.js";
import { Conflicts, describeSkipped, Notices } from "./Notices.js";
import { SegmentList } from "./SegmentList.js";
import { openSession } from "./session.js";
import { Speakers } from "./Speakers.js";
import { speakersOf } from "./speakerNames.js";
import { Toolbar } from "./Toolbar.js";
import { useFind } from "./useFind.js";
import { useKeys } from "./useKeys.js";

/** @typedef {import("./types.js").TranscriptDocument} TranscriptDocument */
/**
 * @typedef {object} TranscriptProps
 * @property {TranscriptDocument} doc
 * @property {Blob | string | null} [audio] the recording, or its URL
 * @property {import("./types.js").Peaks | null} [peaks]
 * @property {boolean} [live] it still grows
 * @property {string} [notice] key of a text about what was not kept
 * @property {() => void} [onRemoved] it was deleted here
 */

const DEFAULT_THRESHOLD = 0.5;
/** @type {import("../state.js").Store<any>} */
const NO_SESSION = createStore({});

/** @param {number} index */
const rowOf = (index) => document.getElementById(`segment-${index}`);

/** @param {TranscriptProps} props */
export function TranscriptView({ doc, audio = null, peaks = null, live = false, notice = "", onRemoved }) {
  const session = useSession(doc, live);
  const state = useStore(session?.store ?? NO_SESSION, (it) => it);
  const shown = state.history?.document ?? doc;
  const { code } = useStore(locale, (it) => it);
  const { playback, forgetAudio } = usePlayback(shown, audio);
  const [editing, setEditing] = useState(/** @type {import("./SegmentList.js").Editing | null} */ (null));
  const [threshold, setThreshold] = useState(DEFAULT_THRESHOLD);
  const [hasHelp, showHelp] = useState(false);
  const [made, countMade] = useState(0);
  const top = useTopHeight();
  const { isFollowing, follow } = useHighlight(playback, shown);
  const find = useFind(shown, session, rowOf, (n) => announce(t("transcript.replaced", { n })), made);

  const ids = useMemo(() => speakersOf(shown), [shown.segments]);
  const speakerKey = ids.join("\n");
  const context = useMemo(() => {
    const onDone = (/** @type {number} */ index, /** @type {boolean} */ keepFocus) => {
      setEditing((before) => (before?.index === index ? null : before));
      // unless it went elsewhere in between
      if (keepFocus) setTimeout(() => document.activeElement === document.body && focusRow(index), 0);
    };
    return { speakerIds: ids, speakers: shown.speakers, threshold, session, onDone, locale: code };
  }, [speakerKey, shown.speakers, threshold, session, code]);
  const actions = {
    play(/** @type {number} */ index, /** @type {number} */ word) {
      const segment = shown.segments[index];
      if (!segment || !playback.store.get().hasAudio) return;
      follow(true);
      playback.playFrom((segment.words[word] ?? segment).start);
    },
    edit(/** @type {number} */ index, /** @type {number} */ caret) {
      if (!session) return;
      playback.pause();
      setEditing({ index, caret });
    },
  };
  const showChange = () => {
    const index = session ? lastChanged(session.store.get().history) : -1;
    if (index >= 0) rowOf(index)?.scrollIntoView({ block: "nearest" });
  };
  const undo = () => {
    showChange();
    session?.undo();
  };
  const redo = () => {
    session?.redo();
    showChange();
  };
  useKeys({ playback, find: find.open, help: () => showHelp(true), undo, redo });
  const hasAudio = useStore(playback.store, (it) => it.hasAudio);

  return html`<article class="transcript" aria-label=${shown.fileName} aria-busy=${live ? "true" : undefined}>
    <div class="transcript-top" ref=${top}>
      <${Player} ...${{ playback, peaks }} duration=${shown.duration} skipped=${shown.skipped} describe=${describeSkipped}>
        ${!isFollowing && html`<${Button} onClick=${() => follow(true)}>${t("transcript.follow")}<//>`}
        <${Button} label=${t("player.keys")} onClick=${() => showHelp(true)}><span aria-hidden="true">?</span><//>
      <//>
      ${find.isOpen && html`<${FindBar} find=${find.find} asked=${find.asked} count=${find.matches.length} canReplace=${Boolean(session)}
        onChange=${find.change} onStep=${find.step} onReplace=${find.replace} onClose=${find.close} />`}
    </div>
    ${session && html`<${Toolbar} history=${state.history} document=${() => session.store.get().history.document}
      ...${{ undo, redo, threshold, setThreshold }} onFind=${find.open} />`}
    <${Notices} warnings=${shown.warnings} skipped=${shown.skipped} notice=${notice}
      onPlay=${hasAudio ? (/** @type {number} */ time) => playback.playFrom(time) : null} />
    <${Conflicts} conflicts=${state.conflicts ?? []} time=${(/** @type {number} */ index) => formatClock(shown.segments[index].start)}
      onKeep=${(/** @type {number} */ index) => session?.settleConflict(index)}
      onTake=${(/** @type {number} */ index, /** @type {string} */ text) => {
        session?.change((history) => setText(history, index, text));
        session?.settleConflict(index);
      }} />
    <${Speakers} ids=${ids} speakers=${shown.speakers} session=${session} />
    <div class=${ids.length ? "segments has-speakers" : "segments"} onClick=${(/** @type {any} */ event) => onListClick(event, actions)}
      onDblClick=${(/** @type {any} */ event) => onListDoubleClick(event, actions)}
      onKeyDown=${(/** @type {any} */ event) => onListKey(event, actions)}>
      <${SegmentList} segments=${shown.segments} editing=${editing} context=${context} onWords=${() => countMade((n) => n + 1)} />
    </div>
    ${!live && !shown.segments.length && html`<p class="segments-none">${t("transcript.noSpeech")}</p>`}
    ${session && html`<${Keeping} id=${shown.id} saving=${state.saving} isRemoved=${state.isRemoved} onAudioRemoved=${forgetAudio}
      onRemove=${session.discard}
      onRemoved=${() => (onRemoved ? onRemoved() : (location.hash = "#history"))} />`}
    ${hasHelp && html`<${KeyHelp} onClose=${() => showHelp(false)} />`}
  </article>`;
}

/** Rows that are brought into view stop below what stands at the top of the page, which may grow. */
function useTopHeight() {
  const top = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const element = top.current;
    if (!element) return undefined;
    const observer = new ResizeObserver(() => {
      element.parentElement?.style.setProperty("--row-top", `${element.offsetHeight + 8}px`);
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return top;
}

/** @param {TranscriptDocument} doc @param {boolean} live */
function useSession(doc, live) {
  const session = useMemo(() => (live ? null : openSession(doc)), [doc.id, live]);
  useEffect(() => () => void session?.close(), [session]);
  return session;
}

/** @param {TranscriptDocument} doc @param {Blob | string | null} audio */
function usePlayback(doc, audio) {
  const playback = useMemo(() => createPlayback(doc.duration), [doc.id]);
  useEffect(() => playback.load(audio), [playback, audio]);
  useEffect(() => playback.store.set({ duration: doc.duration }), [playback, doc.duration]);
  useEffect(() => () => playback.close(), [playback]);
  return { playback, forgetAudio: () => playback.load(null) };
}

/** @param {import("../player/playback.js").Playback} playback @param {TranscriptDocument} doc */
function useHighlight(playback, doc) {
  const [isFollowing, setFollowing] = useState(true);
  const segments = useRef(doc.segments);
  segments.current = doc.segments;
  const highlight = useMemo(
    () => createHighlight({ segments: () => segments.current, row: rowOf, onFollow: setFollowing }),
    [playback],
  );
  useEffect(() => {
    const stop = playback.onTime(highlight.show);
    return () => {
      stop();
      highlight.close();
    };
  }, [playback, highlight]);
  return { isFollowing, follow: highlight.follow };
}
