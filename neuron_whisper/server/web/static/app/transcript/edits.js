// The edits of a document, with undo and redo. A change is a list of segments before and after it, and of names.
import { editSegment, giveSpeaker } from "./model.js";

/** @typedef {import("./types.js").TranscriptDocument} TranscriptDocument */
/** @typedef {import("./types.js").Segment} Segment */
/** @typedef {Readonly<Record<string, string>>} Names */
/**
 * @typedef {object} Change
 * @property {[number, Segment, Segment][]} segments index, before, after
 * @property {[Names, Names] | null} speakers names before and after
 * @property {string} key changes of one key in a row are one step of undo
 * @property {number} at milliseconds, of the last of them
 */
/** @typedef {{document: TranscriptDocument, past: readonly Change[], future: readonly Change[]}} History */

const STEP_MS = 1500; // what is typed without a longer pause is undone at once
const MAX_STEPS = 1000;

/** @param {TranscriptDocument} document @returns {History} */
export function startHistory(document) {
  return { document, past: [], future: [] };
}

/**
 * @param {History} history @param {number} index of the segment @param {string} text as shown
 * @param {number} [now] milliseconds
 */
export function setText(history, index, text, now = Date.now()) {
  return changeSegments(history, [[index, editSegment(history.document.segments[index], text)]], `text ${index}`, now);
}

/**
 * Sets the text of several segments as one step.
 * @param {History} history @param {Iterable<[number, string]>} texts by index of the segment
 */
export function setTexts(history, texts) {
  const { segments } = history.document;
  const changed = [...texts].map(
    ([index, text]) => /** @type {[number, Segment]} */ ([index, editSegment(segments[index], text)]),
  );
  return changeSegments(history, changed);
}

/**
 * Puts segments that were edited beforehand in their places as one step, but those that have changed since.
 * @param {History} history @param {[number, Segment, Segment][]} edited index, before, after
 */
export function setSegments(history, edited) {
  const current = edited.filter(([index, before]) => history.document.segments[index] === before);
  return changeSegments(history, current.map(([index, , after]) => [index, after]));
}

/** @param {History} history @param {number} index @param {string} speaker id */
export function setSpeaker(history, index, speaker) {
  return changeSegments(history, [[index, giveSpeaker(history.document.segments[index], speaker)]]);
}

/**
 * Another name for a speaker, in all segments. An empty name is none: the id is shown again.
 * @param {History} history @param {string} speaker id @param {string} name
 * @param {number} [now] milliseconds
 * @returns {History}
 */
export function renameSpeaker(history, speaker, name, now = Date.now()) {
  const { [speaker]: before, ...others } = history.document.speakers;
  const speakers = name.trim() && name !== speaker ? { ...others, [speaker]: name } : others;
  if (before === speakers[speaker]) return history;
  const names = /** @type {[Names, Names]} */ ([history.document.speakers, speakers]);
  const change = { segments: [], speakers: names, key: `name ${speaker}`, at: now };
  return addChange(history, { ...history.document, speakers }, change);
}

/**
 * @param {History} history
 * @param {[number, Segment][]} changed
 * @param {string} [key]
 * @param {number} [now]
 * @returns {History}
 */
function changeSegments(history, changed, key = "", now = 0) {
  const before = history.document.segments;
  const segments = [...before];
  /** @type {Change["segments"]} */
  const steps = [];
  for (const [index, segment] of changed) {
    if (segment === before[index]) continue;
    segments[index] = segment;
    steps.push([index, before[index], segment]);
  }
  if (!steps.length) return history;
  return addChange(history, { ...history.document, segments }, { segments: steps, speakers: null, key, at: now });
}

/** @param {History} history @param {TranscriptDocument} document @param {Change} change @returns {History} */
function addChange(history, document, change) {
  const last = history.past.at(-1);
  if (last && change.key && last.key === change.key && change.at - last.at < STEP_MS && !history.future.length) {
    return { document, past: [...history.past.slice(0, -1), joinChanges(last, change)], future: [] };
  }
  return { document, past: [...history.past.slice(-MAX_STEPS + 1), change], future: [] };
}

/** One step of two with the same key. @param {Change} first @param {Change} second @returns {Change} */
function joinChanges(first, second) {
  return {
    ...second,
    segments: second.segments.map(([index, , after], at) => [index, first.segments[at][1], after]),
    speakers: first.speakers && second.speakers && [first.speakers[0], second.speakers[1]],
  };
}

/** @param {History} history @returns {History} */
export function undo(history) {
  const change = history.past.at(-1);
  if (!change) return history;
  const document = apply(history.document, change, 1, 0);
  return { document, past: history.past.slice(0, -1), future: [...history.future, change] };
}

/** @param {History} history @returns {History} */
export function redo(history) {
  const change = history.future.at(-1);
  if (!change) return history;
  const document = apply(history.document, change, 2, 1);
  return { document, past: [...history.past, { ...change, key: "" }], future: history.future.slice(0, -1) };
}

/** @param {TranscriptDocument} document @param {Change} change @param {1 | 2} segmentAt @param {0 | 1} namesAt */
function apply(document, change, segmentAt, namesAt) {
  const segments = [...document.segments];
  for (const step of change.segments) segments[step[0]] = step[segmentAt];
  return { ...document, segments, speakers: change.speakers ? change.speakers[namesAt] : document.speakers };
}

/** Index of the first segment of the last change, for showing it; -1 where there is none. @param {History} history */
export function lastChanged(history) {
  return history.past.at(-1)?.segments[0]?.[0] ?? -1;
}

/**
 * The history with another document that was saved elsewhere, where it differs: as a step that can be undone.
 * @param {History} history @param {TranscriptDocument} document with as many segments
 * @returns {History}
 */
export function takeDocument(history, document) {
  const now = history.document;
  /** @type {Change["segments"]} */
  const segments = [];
  document.segments.forEach((segment, index) => {
    if (segment !== now.segments[index]) segments.push([index, now.segments[index], segment]);
  });
  const taken = { ...document };
  if (!segments.length && document.speakers === now.speakers) return { ...history, document: taken };
  return addChange(history, taken, { segments, speakers: [now.speakers, document.speakers], key: "", at: 0 });
}
