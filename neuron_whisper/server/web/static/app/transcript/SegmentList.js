// The list of segments, for hours of speech: chunks that come into the page one after another, words only where seen.
import { Component, html, useEffect, useMemo, useState } from "../../vendor/htm-preact.js";
import { SegmentRow } from "./SegmentRow.js";

/** @typedef {import("./types.js").Segment} Segment */
/** @typedef {import("./SegmentRow.js").RowsContext} RowsContext */
/** @typedef {{index: number, caret: number}} Editing */
/**
 * @typedef {object} ChunkProps
 * @property {readonly Segment[]} segments all of the document
 * @property {number} from index of its first
 * @property {Editing | null} editing
 * @property {RowsContext} context
 * @property {IntersectionObserver} observer
 */

const CHUNK = 15; // segments
const FIRST_CHUNKS = 3;
const MARGIN = "800px 0px"; // words are made this far before they are seen

/** What the observer tells, by the element of the chunk. @type {WeakMap<Element, (isNear: boolean) => void>} */
const watchers = new WeakMap();

/** Far chunks that changed: rendered one a task, when those that are seen have been. @type {Set<Chunk>} */
const stale = new Set();
let staleTimer = 0;

function renderStale() {
  const [chunk] = stale;
  stale.delete(chunk);
  if (chunk.element?.isConnected) chunk.forceUpdate();
  staleTimer = stale.size ? setTimeout(renderStale, 0) : 0;
}

/** @param {{segments: readonly Segment[], editing: Editing | null, context: RowsContext, onWords: () => void}} props
 *   `onWords`: called when rows got their words, or lost them */
export function SegmentList({ segments, editing, context, onWords }) {
  const total = Math.ceil(segments.length / CHUNK);
  const [shown, show] = useState(FIRST_CHUNKS);
  const observer = useMemo(() => watchChunks(onWords), []);
  useEffect(() => () => observer.disconnect(), []);
  useEffect(() => {
    if (shown >= total) return undefined;
    // one chunk a task: the page answers between them
    const timer = setTimeout(() => show(shown + 1), 0);
    return () => clearTimeout(timer);
  }, [shown, total]);
  return Array.from({ length: Math.min(shown, total) }, (_, at) => {
    const from = at * CHUNK;
    const edited = editing && editing.index >= from && editing.index < from + CHUNK ? editing : null;
    return html`<${Chunk} key=${from} ...${{ segments, from, context, observer }} editing=${edited} />`;
  });
}

/** @param {() => void} onWords */
function watchChunks(onWords) {
  /** @type {Map<Element, boolean>} */
  const waiting = new Map();
  let timer = 0;
  // one chunk a task, those that come near before those that go
  const next = () => {
    const [target, isNear] = [...waiting].find(([, near]) => near) ?? [...waiting][0];
    waiting.delete(target);
    watchers.get(target)?.(isNear);
    timer = waiting.size ? setTimeout(next, 0) : 0;
    if (!timer) setTimeout(onWords, 0); // rendered by then
  };
  return new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) waiting.set(target, isIntersecting);
      if (!timer && waiting.size) timer = setTimeout(next, 0);
    },
    { rootMargin: MARGIN },
  );
}

/** @extends {Component<ChunkProps, {isNear: boolean}>} */
class Chunk extends Component {
  state = { isNear: /** @type {ChunkProps} */ (this.props).from < CHUNK };
  /** @type {Element | null} */
  element = null;

  componentDidMount() {
    if (!this.element) return;
    watchers.set(this.element, (isNear) => this.setState({ isNear }));
    /** @type {ChunkProps} */ (this.props).observer.observe(this.element);
  }

  componentWillUnmount() {
    stale.delete(this);
    if (this.element) /** @type {ChunkProps} */ (this.props).observer.unobserve(this.element);
  }

  /** @param {ChunkProps} next @param {{isNear: boolean}} state */
  shouldComponentUpdate(next, state) {
    const { segments, from, editing, context } = /** @type {ChunkProps} */ (this.props);
    if (editing !== next.editing || state.isNear !== this.state.isNear) return true;
    let hasChanged = context !== next.context;
    for (let at = from; at < from + CHUNK; at++) hasChanged ||= segments[at] !== next.segments[at];
    if (!hasChanged || state.isNear) return hasChanged;
    stale.add(this);
    staleTimer ||= setTimeout(renderStale, 0);
    return false;
  }

  render() {
    const { segments, from, editing, context } = /** @type {ChunkProps} */ (this.props);
    return html`<ol class="segment-chunk" start=${from + 1} ref=${(/** @type {Element | null} */ it) => { this.element = it ?? this.element; }}>
      ${segments.slice(from, from + CHUNK).map((segment, at) => {
        const index = from + at;
        const caret = editing?.index === index ? editing.caret : null;
        return html`<${SegmentRow} key=${index} ...${{ segment, index, caret, context }} isNear=${this.state.isNear} />`;
      })}
    </ol>`;
  }
}
