// The types of a transcript document; every value is treated as frozen.

/**
 * @typedef {object} Word times in seconds from the start of the recording
 * @property {string} word without white space around it
 * @property {number} start
 * @property {number} end
 * @property {number} [probability] 0 to 1; a word that was typed has none
 */

/**
 * @typedef {object} Segment the fields of the server's segment but `tokens`, and these
 * @property {number} id
 * @property {number} start seconds
 * @property {number} end seconds
 * @property {string} text as decoded, mostly with a space in front
 * @property {Word[]} words empty without word times
 * @property {string} [speaker] id, whose name is in the document's `speakers`
 * @property {string} [language]
 * @property {number} [avg_logprob]
 * @property {number} [no_speech_prob]
 * @property {{at: number, words: [number, number]}} [source] its place in the response: index, and range of `words`
 * @property {{text: string, words: Word[], speaker?: string}} [original] what was heard, on a segment that was edited
 */

/** @typedef {{start: number, end: number, reason: string, text?: string}} Skipped */

/**
 * @typedef {object} TranscriptDocument
 * @property {string} id
 * @property {string} fileName name of the recording
 * @property {number} createdAt milliseconds since 1970
 * @property {number} updatedAt milliseconds since 1970
 * @property {number} revision counts what was saved; 0 before the first time
 * @property {number} duration seconds
 * @property {string} language name, "" where no speech was heard
 * @property {string} task "transcribe" or "translate"
 * @property {string} text the whole text as the server gave it
 * @property {readonly Segment[]} segments in order of time
 * @property {readonly Skipped[]} skipped
 * @property {readonly string[]} warnings
 * @property {Readonly<Record<string, string>>} speakers names by id, for those that were renamed
 * @property {string} [sourceLanguage]
 * @property {string} [model]
 * @property {string} [jobId] the server's job it came from
 * @property {string | null} raw text of the JSON that the server sent; null while it grows
 */

/** @typedef {{peaks_per_second: number, peaks: ArrayLike<number>}} Peaks 0 to 255, 255 is full scale */

export {};
