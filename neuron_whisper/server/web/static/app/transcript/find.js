// Finds and replaces text in the segments of a document.
import { displayText } from "./model.js";

/** @typedef {import("./types.js").TranscriptDocument} TranscriptDocument */
/** @typedef {{index: number, start: number, end: number}} Match range of UTF-16 units in the shown text of a segment */
/** @typedef {{matchCase?: boolean}} FindOptions */

/**
 * All places of `query`, in order.
 * @param {TranscriptDocument} document @param {string} query @param {FindOptions} [options]
 * @returns {Match[]}
 */
export function findAll(document, query, options = {}) {
  if (!query) return [];
  const pattern = makePattern(query, options);
  return document.segments.flatMap((segment, index) =>
    [...displayText(segment).matchAll(pattern)].map((found) => ({
      index,
      start: found.index,
      end: found.index + found[0].length,
    })),
  );
}

/**
 * The texts of the segments that change when all places are replaced.
 * @param {TranscriptDocument} document @param {string} query @param {string} replacement @param {FindOptions} [options]
 * @returns {Map<number, string>} by index of the segment
 */
export function replaceAll(document, query, replacement, options = {}) {
  const texts = new Map();
  if (!query) return texts;
  const pattern = makePattern(query, options);
  document.segments.forEach((segment, index) => {
    const text = displayText(segment);
    const replaced = text.replace(pattern, () => replacement);
    if (replaced !== text) texts.set(index, replaced);
  });
  return texts;
}

/**
 * The text of the match's segment with the match replaced.
 * @param {TranscriptDocument} document
 * @param {Match} match
 * @param {string} replacement
 */
export function replaceOne(document, { index, start, end }, replacement) {
  const text = displayText(document.segments[index]);
  return text.slice(0, start) + replacement + text.slice(end);
}

/**
 * Index of the first match at or behind a place, the first of all behind the last.
 * @param {Match[]} matches
 * @param {{index: number, start: number}} place
 */
export function matchFrom(matches, { index, start }) {
  const found = matches.findIndex((match) => match.index > index || (match.index === index && match.start >= start));
  return found < 0 ? 0 : found;
}

/** @param {string} query @param {FindOptions} options */
function makePattern(query, { matchCase = false }) {
  return new RegExp(query.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), matchCase ? "gu" : "giu");
}
