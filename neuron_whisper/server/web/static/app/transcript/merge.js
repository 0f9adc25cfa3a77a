// Joins the edits of two tabs: what only one of them changed is taken, what both changed is told.

/** @typedef {import("./types.js").TranscriptDocument} TranscriptDocument */
/** @typedef {import("./types.js").Segment} Segment */

/**
 * @param {TranscriptDocument} base what both began with
 * @param {TranscriptDocument} mine
 * @param {TranscriptDocument} theirs saved since; its revision is the result's
 * @returns {{document: TranscriptDocument, conflicts: {index: number, theirs: string}[]}} what both changed is mine in
 *   the document
 */
export function mergeDocuments(base, mine, theirs) {
  /** @type {{index: number, theirs: string}[]} */
  const conflicts = [];
  const segments = mine.segments.map((segment, index) => {
    const other = theirs.segments[index];
    if (!other || isSame(segment, other)) return segment;
    if (isSame(other, base.segments[index])) return segment;
    if (!isSame(segment, base.segments[index])) {
      conflicts.push({ index, theirs: other.text.trim() });
      return segment;
    }
    return other;
  });
  const speakers = { ...theirs.speakers };
  for (const id of new Set([...Object.keys(base.speakers), ...Object.keys(mine.speakers)])) {
    if (mine.speakers[id] === base.speakers[id]) continue;
    if (mine.speakers[id] === undefined) delete speakers[id];
    else speakers[id] = mine.speakers[id];
  }
  const isEqual = JSON.stringify(speakers) === JSON.stringify(mine.speakers);
  return {
    document: { ...mine, segments, speakers: isEqual ? mine.speakers : speakers, revision: theirs.revision },
    conflicts,
  };
}

/** @param {Segment} one @param {Segment | undefined} other */
function isSame(one, other) {
  return one === other || (one.text === other?.text && one.speaker === other.speaker);
}
