// Names and colours of the speakers of a document.

import { oneLine } from "./text.js";

/** @typedef {import("./types.js").TranscriptDocument} TranscriptDocument */

const COLOURS = 8; // classes speaker-1 to speaker-8

/** Ids of the speakers, in the order they are first heard. @param {TranscriptDocument} document @returns {string[]} */
export function speakersOf(document) {
  /** @type {Set<string>} */
  const ids = new Set();
  for (const { speaker, original } of document.segments) {
    // a speaker whose segments were all given to others can still be chosen
    if (original?.speaker !== undefined) ids.add(original.speaker);
    if (speaker !== undefined) ids.add(speaker);
  }
  return [...ids];
}

/** @param {Pick<TranscriptDocument, "speakers">} document @param {string} id */
export function nameOf(document, id) {
  return document.speakers[id] ?? id;
}

/** The name in one line, as exports have it. @param {TranscriptDocument} document @param {string} id */
export function nameLine(document, id) {
  return oneLine(nameOf(document, id));
}

/** The class of a speaker's colour. @param {string[]} ids all of the document @param {string} id */
export function colourOf(ids, id) {
  return `speaker-${(Math.max(0, ids.indexOf(id)) % COLOURS) + 1}`;
}
