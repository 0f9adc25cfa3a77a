// Transcripts: the document, its view with player and editor, its exports.
//
// Document: see types.js. All functions are pure and give a new document; `raw` is the text the server sent.
// fromResponse(body, {fileName, id?, model?, jobId?}) -> document; body: the text (or the object) of a verbose_json
//   response, of a stream's transcript.text.done event, of a job's result
// startDocument({fileName, id?, task?}) -> an empty one; growing(doc, event) -> with an event of a stream;
//   addSegments(doc, segments) -> with what GET v1/jobs/{id}/segments gave
// openTranscript(doc, audio, {peaks?, show?}) -> {doc, audio, peaks, notice}: keeps it, goes to #transcript/<id>
// loadTranscript(id) -> the same, or null
// <TranscriptView doc audio peaks live notice onRemoved>: audio: Blob, URL or null; peaks: {peaks_per_second, peaks} or
//   null; live: the document still grows (no editing, no exports). Editing begins when `live` ends or `doc.id` is
//   another.
// exportDocument(doc, "txt" | "srt" | "vtt" | "json") -> text; exportName(doc, format) -> file name
export { exportDocument, exportName, FORMATS } from "./formats.js";
export { addSegments, growing, startDocument } from "./growing.js";
export { fromResponse, newId } from "./model.js";
export { loadTranscript, openTranscript } from "./open.js";
export { TranscriptView } from "./TranscriptView.js";
