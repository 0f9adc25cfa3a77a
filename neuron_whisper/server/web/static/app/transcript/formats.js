// Exports of a document: while nothing was edited the bytes of the API's text, srt, vtt and verbose_json.
import { displayText, isEdited, joinText } from "./model.js";
import { nameLine } from "./speakerNames.js";
import { oneLine } from "./text.js";
import { writeVerboseJson } from "./verboseJson.js";

/** @typedef {import("./types.js").TranscriptDocument} TranscriptDocument */

/** @type {Readonly<Record<string, {write: (document: TranscriptDocument) => Iterable<string>, mediaType: string}>>} */
export const FORMATS = {
  txt: { write: (document) => [writeText(document)], mediaType: "text/plain" },
  srt: { write: (document) => [writeSrt(document)], mediaType: "application/x-subrip" },
  vtt: { write: (document) => [writeVtt(document)], mediaType: "text/vtt" },
  json: { write: writeVerboseJson, mediaType: "application/json" },
};

/** @param {TranscriptDocument} document @param {string} format one of FORMATS @returns {string} */
export function exportDocument(document, format) {
  return [...exportPieces(document, format)].join("");
}

/**
 * The export in pieces, each made in little time: of hours the page makes them with pauses between.
 * @param {TranscriptDocument} document @param {string} format one of FORMATS
 * @returns {Iterable<string>}
 */
export function exportPieces(document, format) {
  if (format in FORMATS) return FORMATS[format].write(document);
  throw new Error(`format: "${format}" is unknown; use one of ${Object.keys(FORMATS).join(", ")}`);
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
