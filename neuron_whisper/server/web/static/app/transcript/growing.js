// A document that grows while the server transcribes: by events of a stream, or by segments of a job.
import { newId, readSegment } from "./model.js";

/** @typedef {import("./types.js").TranscriptDocument} TranscriptDocument */

/**
 * A document without text yet. `fromResponse` with its id makes the whole one at the end.
 * @param {import("./model.js").About & {task?: string, duration?: number}} about
 * @returns {TranscriptDocument}
 */
export function startDocument(about) {
  const now = about.now ?? Date.now();
  return {
    id: about.id ?? newId(),
    fileName: about.fileName,
    createdAt: now,
    updatedAt: now,
    revision: 0,
    duration: about.duration ?? 0,
    language: "",
    task: about.task ?? "transcribe",
    text: "",
    segments: [],
    skipped: [],
    warnings: [],
    speakers: {},
    raw: null,
  };
}

/**
 * The document with an event of a stream: a `transcript.text.delta` adds its segment, other events change nothing.
 * @param {TranscriptDocument} document
 * @param {Record<string, any>} event
 * @returns {TranscriptDocument}
 */
export function growing(document, event) {
  if (event.type !== "transcript.text.delta") return document;
  const text = document.text + (event.delta ?? "");
  if (!event.segment) return { ...document, text };
  return { ...addSegments(document, [{ ...event.segment, words: event.words ?? [] }]), text };
}

/**
 * The document with further segments, as `GET v1/jobs/{id}/segments` gives them.
 * @param {TranscriptDocument} document
 * @param {Record<string, any>[]} segments
 * @returns {TranscriptDocument}
 */
export function addSegments(document, segments) {
  if (!segments.length) return document;
  const read = segments.map((segment) => readSegment(segment, segment.words ?? []));
  const end = Math.max(document.duration, ...read.map((segment) => segment.end));
  return { ...document, duration: end, segments: [...document.segments, ...read] };
}
