// Marks what was found, by the browser's own highlights: the rows are not rendered again for it.

/** @typedef {import("./find.js").Match} Match */

const FOUND = "transcript-found";
const CURRENT = "transcript-current";

/**
 * Marks the matches in the rows that have been made near the part that is seen.
 * @param {Match[]} matches @param {number} current index of the one that is shown, -1 for none
 * @param {(index: number) => Element | null} row element of a segment
 */
export function markMatches(matches, current, row) {
  const highlights = globalThis.CSS?.highlights;
  if (!highlights) return; // the row of the current match is marked by its attribute
  highlights.delete(FOUND);
  highlights.delete(CURRENT);
  if (!matches.length) return;
  /** @type {Range[]} */
  const found = [];
  matches.forEach((match, at) => {
    const element = row(match.index);
    const text = element?.querySelector(".segment-text");
    // far rows have no words
    if (!text || (at !== current && !text.querySelector(".word"))) return;
    const range = rangeOf(text, match.start, match.end);
    if (!range) return;
    if (at === current) highlights.set(CURRENT, new Highlight(range));
    else found.push(range);
  });
  highlights.set(FOUND, new Highlight(...found));
}

/** @param {Element} element @param {number} start @param {number} end in UTF-16 units of its text */
function rangeOf(element, start, end) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  let passed = 0;
  let hasStart = false;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const length = node.nodeValue?.length ?? 0;
    if (!hasStart && start < passed + length) {
      range.setStart(node, start - passed);
      hasStart = true;
    }
    if (hasStart && end <= passed + length) {
      range.setEnd(node, end - passed);
      return range;
    }
    passed += length;
  }
  return null;
}
