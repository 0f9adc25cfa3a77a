// What the server's messages make of the captions: final lines, text in progress, gaps. Pure; times in seconds.

/**
 * @typedef {{word: string, start: number, end: number, probability?: number}} Word
 * @typedef {{start: number, end: number, text: string, words?: Word[]} & Record<string, unknown>} LiveSegment
 * @typedef {object} Line `kind`: text; failed: speech without a text, `text` is why; gap: never reached the server
 * @property {number} id
 * @property {"text" | "failed" | "gap"} kind
 * @property {number} start
 * @property {number} end
 * @property {string} text
 * @property {string} language a code, "" where none was told
 * @property {LiveSegment[]} segments
 * @typedef {object} Pending an utterance without its final text; `isStale`: its connection was lost
 * @property {string} key
 * @property {number} start
 * @property {number} end
 * @property {string} stable
 * @property {string} unstable
 * @property {boolean} isStale
 * @typedef {object} Captions `settled`: all speech before it has its final text
 * @property {readonly Line[]} lines
 * @property {readonly Pending[]} pending
 * @property {number} settled
 * @property {readonly string[]} warnings
 * @typedef {{id: number, offset: number}} Source a connection: its number, and where its first sample lies
 */

/** @type {Captions} */
export const NO_CAPTIONS = Object.freeze({ lines: [], pending: [], settled: 0, warnings: [] });

/**
 * The captions after a message of the server's.
 * @param {Captions} captions
 * @param {Record<string, any>} message
 * @param {Source} source
 * @returns {Captions}
 */
export function takeMessage(captions, message, source) {
  const key = `${source.id}:${message.utterance}`;
  const at = (/** @type {number} */ seconds) => roundMs(seconds + source.offset);
  switch (message.type) {
    case "speech_started":
      return upsert(captions, key, { start: at(message.start), end: at(message.start) });
    case "speech_stopped":
      return upsert(captions, key, { end: at(message.end) });
    case "partial": {
      const { stable, unstable } = message;
      return upsert(captions, key, { start: at(message.start), end: at(message.end), stable, unstable });
    }
    case "final":
      return finish(captions, key, toLine(message, source.offset), message.warnings ?? []);
    case "failed": {
      const { settled } = captions;
      const { start, end } = captions.pending.find((one) => one.key === key) ?? { start: settled, end: settled };
      return finish(captions, key, makeLine("failed", start, end, message.error?.message ?? ""), []);
    }
    default:
      return captions;
  }
}

/**
 * After the connection was lost: its text in progress stays in view until the next connection has heard it again.
 * @param {Captions} captions
 */
export function markStale(captions) {
  return { ...captions, pending: captions.pending.map((one) => ({ ...one, isStale: true })) };
}

/** After the server told its last text. @param {Captions} captions @param {number} end seconds @returns {Captions} */
export function settleAll(captions, end) {
  return { ...captions, pending: [], settled: Math.max(captions.settled, end) };
}

/**
 * With a piece that the server never heard.
 * @param {Captions} captions
 * @param {number} start
 * @param {number} end
 * @returns {Captions}
 */
export function addGap(captions, start, end) {
  return { ...append(captions, makeLine("gap", start, end, "")), settled: Math.max(captions.settled, end) };
}

/**
 * @param {Captions} captions
 * @param {string} key
 * @param {Partial<Pending>} changes
 * @returns {Captions}
 */
function upsert(captions, key, changes) {
  const known = captions.pending.find((one) => one.key === key);
  const begun = { key, start: captions.settled, end: captions.settled, stable: "", unstable: "", isStale: false };
  const changed = { ...(known ?? begun), ...changes };
  const hasText = changed.stable + changed.unstable !== "";
  const isHeardAgain = (/** @type {Pending} */ one) => hasText && one.isStale && one.start < changed.end;
  const others = captions.pending.filter((one) => one.key !== key && !isHeardAgain(one));
  return { ...captions, pending: [...others, changed].sort((a, b) => a.start - b.start) };
}

/**
 * @param {Captions} captions
 * @param {string} key
 * @param {Line} line
 * @param {string[]} warnings
 * @returns {Captions}
 */
function finish(captions, key, line, warnings) {
  const pending = captions.pending.filter((one) => one.key !== key && !(one.isStale && one.start < line.end));
  const settled = Math.max(captions.settled, line.end);
  const said = [...new Set([...captions.warnings, ...warnings])];
  const next = { ...captions, pending, settled, warnings: said };
  return line.kind === "text" && line.text === "" ? next : append(next, line);
}

/** @param {Captions} captions @param {Line} line @returns {Captions} */
function append(captions, line) {
  return { ...captions, lines: [...captions.lines, { ...line, id: captions.lines.length }] };
}

/** @param {Record<string, any>} message a final one @param {number} offset @returns {Line} */
function toLine(message, offset) {
  const at = (/** @type {number} */ seconds) => roundMs(seconds + offset);
  const move = (/** @type {any} */ item) => ({ ...item, start: at(item.start), end: at(item.end) });
  const segments = (message.segments ?? []).map((/** @type {any} */ segment) => {
    const moved = move(segment);
    return segment.words ? { ...moved, words: segment.words.map(move) } : moved;
  });
  const { start, end } = move(message);
  return { id: 0, kind: "text", start, end, text: message.text.trim(), language: message.language ?? "", segments };
}

/** @param {Line["kind"]} kind @param {number} start @param {number} end @param {string} text @returns {Line} */
function makeLine(kind, start, end, text) {
  return { id: 0, kind, start: roundMs(start), end: roundMs(end), text, language: "", segments: [] };
}

/** @param {number} seconds */
function roundMs(seconds) {
  return Math.round(1000 * seconds) / 1000;
}
