// A transcript as a document: made from the server's response, changed by pure functions that give a new document.
import { writeJson } from "./json.js";
import { retimeWords } from "./retime.js";
import { leadingSpace, oneLine } from "./text.js";
import { assignWords } from "./words.js";

/** @typedef {import("./types.js").TranscriptDocument} TranscriptDocument */
/** @typedef {import("./types.js").Segment} Segment */
/** @typedef {import("./types.js").Word} Word */
/**
 * @typedef {object} About what the response does not tell
 * @property {string} fileName
 * @property {string} [id]
 * @property {string} [model]
 * @property {string} [jobId]
 * @property {number} [now] milliseconds since 1970
 */

const PAUSE_S = 1; // words of a response without segments are divided at pauses
const WORDS_PER_SEGMENT = 20;

/** An id that no other document has. Not randomUUID: a page over plain HTTP has none. */
export function newId() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The document of a `verbose_json` body, of a stream's `transcript.text.done` event, or of a job's result. Give the
 * response's text: from a parsed object, a number of a member that is not known here may be written otherwise.
 * @param {string | Record<string, any>} response
 * @param {About} about
 * @returns {TranscriptDocument}
 */
export function fromResponse(response, about) {
  const raw = typeof response === "string" ? response : writeJson(response);
  const body = typeof response === "string" ? JSON.parse(response) : response;
  const now = about.now ?? Date.now();
  return {
    id: about.id ?? about.jobId ?? newId(), // whoever opens a job makes the same document
    fileName: about.fileName,
    createdAt: now,
    updatedAt: now,
    revision: 0,
    duration: body.duration ?? body.segments?.at(-1)?.end ?? body.words?.at(-1)?.end ?? 0,
    language: body.language ?? "",
    task: body.task ?? "transcribe",
    text: body.text ?? "",
    segments: readSegments(body),
    skipped: body.skipped ?? [],
    warnings: body.warnings ?? [],
    speakers: {},
    ...(body.source_language ? { sourceLanguage: body.source_language } : {}),
    ...(about.model ? { model: about.model } : {}),
    ...(about.jobId ? { jobId: about.jobId } : {}),
    raw,
  };
}

/** @param {Record<string, any>} body @returns {Segment[]} */
function readSegments(body) {
  const words = /** @type {Word[]} */ (body.words ?? []);
  if (!body.segments) return makeSegments(body, words);
  const ranges = assignWords(body.segments, words);
  return body.segments.map((/** @type {any} */ segment, /** @type {number} */ at) =>
    readSegment(segment, segment.words ?? words.slice(...ranges[at]), { at, words: ranges[at] }),
  );
}

/**
 * A segment of the server with its words; `tokens` stay in the raw response.
 * @param {Record<string, any>} fields @param {Word[]} words @param {Segment["source"]} [source]
 * @returns {Segment}
 */
export function readSegment(fields, words, source) {
  const segment = /** @type {Segment} */ ({ ...fields, words, ...(source ? { source } : {}) });
  delete (/** @type {any} */ (segment).tokens);
  return segment;
}

/**
 * Segments of a response that has none: its words divided at pauses, or the text as one.
 * @param {Record<string, any>} body
 * @param {Word[]} words
 * @returns {Segment[]}
 */
function makeSegments(body, words) {
  if (!words.length) {
    return body.text ? [{ id: 0, start: 0, end: body.duration ?? 0, text: body.text, words: [] }] : [];
  }
  /** @type {Word[][]} */
  const groups = [];
  for (const word of words) {
    const group = groups.at(-1);
    const last = group?.at(-1);
    if (group && last && group.length < WORDS_PER_SEGMENT && word.start - last.end < PAUSE_S) group.push(word);
    else groups.push([word]);
  }
  return groups.map((group, id) => ({
    id,
    start: group[0].start,
    end: group[group.length - 1].end,
    text: ` ${group.map((word) => word.word).join(" ")}`,
    words: group,
  }));
}

/** Made once for each segment: finding goes through all. @type {WeakMap<Segment, string>} */
const lines = new WeakMap();

/** The text of a segment as it is shown and edited. @param {Segment} segment */
export function displayText(segment) {
  let line = lines.get(segment);
  if (line === undefined) {
    line = oneLine(segment.text);
    lines.set(segment, line);
  }
  return line;
}

/** The whole text of the segments. @param {TranscriptDocument} document */
export function joinText(document) {
  return oneLine(document.segments.map((segment) => segment.text).join(""));
}

/** @param {TranscriptDocument} document */
export function isEdited(document) {
  return document.segments.some((segment) => segment.original) || Object.keys(document.speakers).length > 0;
}

/**
 * The segment with another text, its words timed anew; what was heard is kept in `original`, and taken back when text
 * and speaker are that again.
 * @param {Segment} segment @param {string} text as shown
 */
export function editSegment(segment, text) {
  return changeSegment(segment, oneLine(text), segment.speaker);
}

/** The segment as another speaker's. @param {Segment} segment @param {string | undefined} speaker id */
export function giveSpeaker(segment, speaker) {
  return changeSegment(segment, displayText(segment), speaker);
}

/** @param {Segment} segment @param {string} line @param {string | undefined} speaker @returns {Segment} */
function changeSegment(segment, line, speaker) {
  if (line === displayText(segment) && speaker === segment.speaker) return segment;
  const { original, text, words, speaker: _, ...rest } = segment;
  const heard = original ?? { text, words, ...(segment.speaker === undefined ? {} : { speaker: segment.speaker }) };
  const spoken = speaker === undefined ? {} : { speaker };
  const isHeardText = line === oneLine(heard.text);
  const changed = isHeardText
    ? { text: heard.text, words: heard.words }
    : {
        text: line ? leadingSpace(heard.text) + line : "",
        words: retimeWords({ ...heard, start: segment.start, end: segment.end }, line),
      };
  return { ...rest, ...changed, ...spoken, ...(isHeardText && speaker === heard.speaker ? {} : { original: heard }) };
}
