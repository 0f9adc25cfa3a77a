// Marks the word that is played and keeps it in view, on the elements themselves: nothing is rendered again for it.

/** @typedef {import("../transcript/types.js").Segment} Segment */

const LINGER_S = 0.6; // a segment stays marked for this long behind its end
const SCROLL_KEYS = new Set(["PageUp", "PageDown", "Home", "End", "ArrowUp", "ArrowDown"]);

/**
 * Index of the last item that starts at or before the time, -1 before the first.
 * @param {readonly {start: number}[]} items by start @param {number} time seconds
 */
export function lastStarted(items, time) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle].start <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/**
 * Index of the segment and of its word at a time, -1 where there is none.
 * @param {readonly Segment[]} segments @param {number} time seconds
 */
export function placeAt(segments, time) {
  const segment = lastStarted(segments, time);
  if (segment < 0 || time > segments[segment].end + LINGER_S) return { segment: -1, word: -1 };
  return { segment, word: lastStarted(segments[segment].words, time) };
}

/**
 * @param {object} view
 * @param {() => readonly Segment[]} view.segments
 * @param {(index: number) => HTMLElement | null} view.row element of a segment
 * @param {(isFollowing: boolean) => void} view.onFollow called when the reader scrolls away, or goes back
 */
export function createHighlight({ segments, row, onFollow }) {
  let isFollowing = true;
  /** @type {HTMLElement | null} */
  let markedRow = null;
  /** @type {HTMLElement | null} */
  let markedWord = null;

  /** @param {HTMLElement | null} before @param {HTMLElement | null} after */
  const move = (before, after) => {
    if (before === after) return after;
    if (before) delete before.dataset.playing;
    if (after) after.dataset.playing = "";
    return after;
  };
  /** @param {boolean} value */
  const follow = (value) => {
    if (value === isFollowing) return;
    isFollowing = value;
    onFollow(value);
  };
  /** @param {number} time seconds */
  const show = (time) => {
    const place = placeAt(segments(), time);
    const element = place.segment < 0 ? null : row(place.segment);
    const isAnother = element !== markedRow;
    markedRow = move(markedRow, element);
    markedWord = move(markedWord, element?.querySelector(`[data-word="${place.word}"]`) ?? null);
    if (isAnother && element && isFollowing) element.scrollIntoView({ block: "nearest", behavior: "auto" });
  };
  const onScroll = () => follow(false);
  const onKey = (/** @type {KeyboardEvent} */ event) => void (SCROLL_KEYS.has(event.key) && follow(false));
  const onPress = (/** @type {PointerEvent} */ event) => {
    // the page's scroll bar
    const page = document.documentElement;
    if (event.target === page && event.clientX >= page.clientWidth) follow(false);
  };
  addEventListener("wheel", onScroll, { passive: true });
  addEventListener("touchmove", onScroll, { passive: true });
  addEventListener("keydown", onKey);
  addEventListener("pointerdown", onPress);
  return {
    show,
    follow,
    close() {
      removeEventListener("wheel", onScroll);
      removeEventListener("touchmove", onScroll);
      removeEventListener("keydown", onKey);
      removeEventListener("pointerdown", onPress);
    },
  };
}
