// Exports of a document: while nothing was edited the bytes of the API's text, srt, vtt and verbose_json.
import { elementsOf, membersOf, writeElements, writeFloat, writeJson, writeMembers } from "./json.js";
import { displayText, isEdited, joinText } from "./model.js";
import { nameOf } from "./speakerNames.js";
import { oneLine } from "./text.js";

/** @typedef {import("./types.js").TranscriptDocument} TranscriptDocument */
/** @typedef {import("./types.js").Segment} Segment */
/** @typedef {[string, string][]} Members of an object of JSON, values as text */

const POSITIONS_PER_S = 50; // a stream counts audio in encoder positions
const STREAM_ONLY = new Set(["type", "usage"]);

/** @type {Readonly<Record<string, {write: (document: TranscriptDocument) => string, mediaType: string}>>} */
export const FORMATS = {
  txt: { write: writeText, mediaType: "text/plain" },
  srt: { write: writeSrt, mediaType: "application/x-subrip" },
  vtt: { write: writeVtt, mediaType: "text/vtt" },
  json: { write: writeVerboseJson, mediaType: "application/json" },
};

/** @param {TranscriptDocument} document @param {string} format one of FORMATS */
export function exportDocument(document, format) {
  if (!(format in FORMATS)) throw new Error(`format: "${format}" is unknown; use one of ${Object.keys(FORMATS).join(", ")}`);
  return FORMATS[format].write(document);
}

/** "talk.v2.mp3", "srt" -> "talk.v2.srt". @param {TranscriptDocument} document @param {string} format */
export function exportName(document, format) {
  const stem = document.fileName.replace(/[/\\]/g, "_").replace(/(?<=.)\.[^.]*$/, "");
  return `${stem || "transcript"}.${format}`;
}

// ---- text and subtitles

/** One line; with speakers a line for each turn. @param {TranscriptDocument} document */
function writeText(document) {
  if (!document.segments.some((segment) => segment.speaker)) {
    return `${isEdited(document) ? joinText(document) : oneLine(document.text)}\n`;
  }
  /** @type {{speaker: string | undefined, text: string}[]} */
  const turns = [];
  for (const { speaker, text } of document.segments) {
    const last = turns.at(-1);
    if (last && last.speaker === speaker) last.text += text;
    else turns.push({ speaker, text });
  }
  return turns
    .map(({ speaker, text }) => ({ speaker, line: oneLine(text) }))
    .filter(({ line }) => line)
    .map(({ speaker, line }) => `${speaker ? `${nameLine(document, speaker)}: ` : ""}${line}\n`)
    .join("");
}

/** @param {TranscriptDocument} document */
function writeSrt(document) {
  return cuesOf(document)
    .map(({ start, end, speaker, line }, at) => {
      const text = speaker ? `${nameLine(document, speaker)}: ${line}` : line;
      return `${at + 1}\n${writeCue(start, end, text, ",", true)}`;
    })
    .join("");
}

/** @param {TranscriptDocument} document */
function writeVtt(document) {
  const cues = cuesOf(document).map(({ start, end, speaker, line }) => {
    const voice = speaker ? `<v ${escapeVtt(nameLine(document, speaker))}>` : "";
    return writeCue(start, end, voice + escapeVtt(line), ".", false);
  });
  return `WEBVTT\n\n${cues.join("")}`;
}

/** @param {TranscriptDocument} document */
function cuesOf(document) {
  return document.segments
    .map((segment) => ({ ...segment, line: displayText(segment) }))
    .filter(({ line }) => line);
}

/** @param {TranscriptDocument} document @param {string} speaker */
const nameLine = (document, speaker) => oneLine(nameOf(document, speaker));

/**
 * An arrow in the text would be read as a line of times.
 * @param {number} start
 * @param {number} end
 * @param {string} text
 * @param {string} point
 * @param {boolean} hours
 */
function writeCue(start, end, text, point, hours) {
  return `${writeTime(start, point, hours)} --> ${writeTime(end, point, hours)}\n${text.replace(/--+>/g, "->")}\n\n`;
}

/** @param {string} text */
function escapeVtt(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** Whole milliseconds; halves go to the even one, as Python's round does. @param {number} seconds */
export function toMilliseconds(seconds) {
  const ms = seconds * 1000;
  const whole = Math.floor(ms);
  const rounded = ms - whole === 0.5 ? whole + (whole % 2) : Math.round(ms);
  return Math.max(0, rounded);
}

/** @param {number} seconds @param {string} point @param {boolean} hours write them when they are zero */
export function writeTime(seconds, point, hours) {
  const ms = toMilliseconds(seconds);
  const two = (/** @type {number} */ value) => String(Math.floor(value)).padStart(2, "0");
  const front = hours || ms >= 3_600_000 ? `${two(ms / 3_600_000)}:` : "";
  return `${front}${two((ms / 60_000) % 60)}:${two((ms / 1000) % 60)}${point}${String(ms % 1000).padStart(3, "0")}`;
}

// ---- verbose_json

/** @param {TranscriptDocument} document */
function writeVerboseJson(document) {
  const raw = membersOf(document.raw ?? writeGrowing(document));
  const usage = raw.find(([key]) => key === "usage")?.[1];
  const isStream = raw[0]?.[0] === "type";
  const members = isStream ? raw.filter(([key]) => !STREAM_ONLY.has(key)) : raw;
  const body = isEdited(document) ? editMembers(document, members) : members;
  if (isStream) body.push(["usage", writeJson({ type: "duration", seconds: secondsOf(document, usage) })]);
  return writeMembers(body);
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
 * The members with what was edited in their place.
 * @param {TranscriptDocument} document
 * @param {Members} members
 * @returns {Members}
 */
function editMembers(document, members) {
  const byKey = new Map(members);
  const segments = elementsOf(byKey.get("segments") ?? "[]");
  const words = elementsOf(byKey.get("words") ?? "[]");
  return members.map(([key, value]) => {
    if (key === "text") return [key, JSON.stringify(joinText(document))];
    if (key === "words") return [key, writeElements(document.segments.flatMap((it) => writeWords(it, words)))];
    if (key !== "segments") return [key, value];
    return [key, writeElements(document.segments.map((it) => writeSegment(document, it, segments)))];
  });
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
