// The state of finding in a document: what was found, which is shown, and replacing.
import { useEffect, useMemo, useState } from "../../vendor/htm-preact.js";
import { setSegments } from "./edits.js";
import { findAll, matchFrom, replaceAll, replaceOne } from "./find.js";
import { markMatches } from "./marks.js";
import { editSegment } from "./model.js";

/** @typedef {import("./types.js").TranscriptDocument} TranscriptDocument */

const SLICE_MS = 20;
const CLOSED = { query: "", replacement: "", matchCase: false, at: 0 };

/**
 * @param {TranscriptDocument} document
 * @param {import("./session.js").Session | null} session
 * @param {(index: number) => HTMLElement | null} row element of a segment
 * @param {(text: string) => void} onReplaced tells how many were replaced
 * @param {number} made changes when rows got their words
 */
export function useFind(document, session, row, onReplaced, made) {
  const [asked, ask] = useState(0); // how often it was opened, 0 when it is closed
  const isOpen = asked > 0;
  const [find, setFind] = useState(/** @type {import("./FindBar.js").Find} */ (CLOSED));
  const query = isOpen ? find.query : "";
  const matches = useMemo(
    () => findAll(document, query, { matchCase: find.matchCase }),
    [document.segments, query, find.matchCase],
  );
  const at = matches.length ? Math.min(find.at, matches.length - 1) : -1;
  const current = matches[at];
  useEffect(() => {
    if (current) row(current.index)?.scrollIntoView({ block: "center" });
  }, [query, find.matchCase, at]);
  useEffect(() => {
    const frame = requestAnimationFrame(() => markMatches(matches, at, row));
    return () => cancelAnimationFrame(frame);
  }, [matches, at, made]);
  useEffect(() => () => markMatches([], -1, row), []);

  /** @param {boolean} all */
  const replace = async (all) => {
    if (!session || !current) return;
    const texts = all
      ? replaceAll(document, query, find.replacement, find)
      : new Map([[current.index, replaceOne(document, current, find.replacement)]]);
    const edited = await editInSlices(document, texts);
    session.change((history) => setSegments(history, edited));
    if (!all) {
      // on behind the replacement, which may have the query in it
      const behind = { index: current.index, start: current.start + find.replacement.length };
      const left = findAll(session.store.get().history.document, query, find);
      setFind((before) => ({ ...before, at: matchFrom(left, behind) }));
    }
    onReplaced(String(all ? matches.length : 1));
  };
  return {
    isOpen,
    find: { ...find, at },
    matches,
    replace,
    asked,
    open: () => ask((before) => before + 1),
    close: () => ask(0),
    /** @param {Partial<import("./FindBar.js").Find>} patch */
    change: (patch) => setFind((before) => ({ ...before, ...patch, at: "query" in patch ? 0 : before.at })),
    /** @param {1 | -1} step */
    step: (step) => {
      if (matches.length) setFind((before) => ({ ...before, at: (at + step + matches.length) % matches.length }));
    },
  };
}

/**
 * The segments with their texts, with pauses in which the page answers: there may be thousands.
 * @param {TranscriptDocument} document @param {Map<number, string>} texts
 */
async function editInSlices({ segments }, texts) {
  const edited = /** @type {[number, import("./types.js").Segment, import("./types.js").Segment][]} */ ([]);
  let end = performance.now() + SLICE_MS;
  for (const [index, text] of texts) {
    edited.push([index, segments[index], editSegment(segments[index], text)]);
    if (performance.now() < end) continue;
    await new Promise((resolve) => setTimeout(resolve, 0));
    end = performance.now() + SLICE_MS;
  }
  return edited;
}
