// The export as verbose_json: the response as it came, with what was edited written in its place.
import { elementsOf, membersOf, writeElements, writeFloat, writeJson, writeMembers } from "./json.js";
import { isEdited, joinText } from "./model.js";
import { nameLine } from "./speakerNames.js";

/** @typedef {import("./types.js").TranscriptDocument} TranscriptDocument */
/** @typedef {import("./types.js").Segment} Segment */
/** @typedef {[string, string][]} Members of an object of JSON, values as text */

const POSITIONS_PER_S = 50; // a stream counts audio in encoder positions
const STREAM_ONLY = new Set(["type", "usage"]);

/** In pieces. @param {TranscriptDocument} document @returns {Generator<string>} */
export function* writeVerboseJson(document) {
  const raw = membersOf(document.raw ?? writeGrowing(document));
  const usage = raw.find(([key]) => key === "usage")?.[1];
  const isStream = raw[0]?.[0] === "type";
  const members = isStream ? raw.filter(([key]) => !STREAM_ONLY.has(key)) : raw;
  if (isStream) members.push(["usage", writeJson({ type: "duration", seconds: secondsOf(document, usage) })]);
  const hasEdits = isEdited(document);
  let comma = "";
  yield "{";
  for (const [key, value] of members) {
    yield `${comma}${JSON.stringify(key)}:`;
    yield* hasEdits ? writeEdited(document, key, value) : [value];
    comma = ",";
  }
  yield "}";
}

/**
 * A member with what was edited in it.
 * @param {TranscriptDocument} document
 * @param {string} key
 * @param {string} value
 */
function* writeEdited(document, key, value) {
  if (key === "text") {
    yield JSON.stringify(joinText(document));
  } else if (key === "segments" || key === "words") {
    const slices = elementsOf(value);
    const write = (/** @type {Segment} */ it) =>
      key === "words" ? writeWords(it, slices) : [writeSegment(document, it, slices)];
    let comma = "";
    yield "[";
    for (const segment of document.segments) {
      const written = write(segment);
      if (written.length) yield comma + written.join(",");
      if (written.length) comma = ",";
    }
    yield "]";
  } else {
    yield value;
  }
}

/** A document that did not end. @param {TranscriptDocument} document */
function writeGrowing(document) {
  const segments = document.segments.map(({ words: _, original: __, source: ___, ...segment }) => segment);
  const words = document.segments.flatMap((segment) => segment.words);
  const { task, language, duration } = document;
  const text = joinText(document);
  return writeJson({ task, language, duration, text, segments, ...(words.length ? { words } : {}) });
}

/**
 * Whole seconds, rounded up. The rounded duration may have lost the last fraction: positions have it.
 * @param {TranscriptDocument} document
 * @param {string | undefined} usage
 */
function secondsOf(document, usage) {
  const tokens = usage ? JSON.parse(usage)?.input_token_details?.audio_tokens : undefined;
  return Math.ceil(tokens === undefined ? document.duration : tokens / POSITIONS_PER_S);
}

/**
 * @param {TranscriptDocument} document
 * @param {Segment} segment
 * @param {string[]} slices of the response's segments
 * @returns {string}
 */
function writeSegment(document, segment, slices) {
  const slice = segment.source && slices[segment.source.at];
  const name = segment.speaker && document.speakers[segment.speaker];
  if (slice && !segment.original && !name) return slice;
  const { words: _, original: __, source: ___, ...fields } = segment;
  /** @type {Members} */
  const members = slice ? membersOf(slice) : membersOf(writeJson(fields));
  /** @type {Map<string, string>} */
  const changes = new Map();
  if (segment.original && segment.original.text !== segment.text) {
    changes.set("text", JSON.stringify(segment.text));
    changes.set("tokens", "[]"); // those of another text
    changes.set("words", writeElements(segment.words.map(writeWord)));
  }
  if (segment.speaker !== undefined) changes.set("speaker", JSON.stringify(nameLine(document, segment.speaker)));
  const changed = members.map(([key, value]) => /** @type {[string, string]} */ ([key, changes.get(key) ?? value]));
  const has = new Set(members.map(([key]) => key));
  return writeMembers([...changed, ...[...changes].filter(([key]) => !has.has(key) && key === "speaker")]);
}

/** @param {Segment} segment @param {string[]} slices of the response's words @returns {string[]} */
function writeWords(segment, slices) {
  const isHeard = !segment.original || segment.words === segment.original.words;
  if (segment.source && isHeard) return slices.slice(...segment.source.words);
  return segment.words.map(writeWord);
}

/** @param {import("./types.js").Word} word */
function writeWord({ word, start, end, probability }) {
  return writeMembers([
    ["word", JSON.stringify(word)],
    ["start", writeFloat(start)],
    ["end", writeFloat(end)],
    ...(probability === undefined ? [] : [/** @type {[string, string]} */ (["probability", writeFloat(probability)])]),
  ]);
}
