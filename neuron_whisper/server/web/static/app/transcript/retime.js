// Times of words after their text was edited: kept words keep theirs, new ones share the time between their neighbours.
import { splitSpaces } from "./text.js";

/** @typedef {import("./types.js").Word} Word */

// scripts that are written without spaces: a run of letters is split at the words that were there before
const UNSPACED = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]/u;

/**
 * The words of the new text with times, in milliseconds' precision.
 * @param {{text: string, words: readonly Word[], start: number, end: number}} segment as it was heard
 * @param {string} text
 * @returns {Word[]} none where the segment had none
 */
export function retimeWords(segment, text) {
  const old = segment.words;
  if (!old.length) return [];
  const tokens = splitTokens(text, segment);
  const kept = matchTokens(old.map((word) => word.word), tokens);
  /** @type {Word[]} */
  const words = [];
  let oldAt = 0;
  let newAt = 0;
  for (const [oldIndex, newIndex] of [...kept, [old.length, tokens.length]]) {
    const before = words.at(-1)?.end ?? segment.start;
    const after = Math.max(before, old[oldIndex]?.start ?? segment.end);
    words.push(...timeRun(old.slice(oldAt, oldIndex), tokens.slice(newAt, newIndex), before, after));
    if (oldIndex < old.length) words.push(old[oldIndex]);
    oldAt = oldIndex + 1;
    newAt = newIndex + 1;
  }
  return words;
}

/**
 * Times of `tokens`, which stand where `old` stood. One for one they take the old times; otherwise they share the time
 * by their length; where nothing stood, the time between the neighbours.
 * @param {readonly Word[]} old @param {string[]} tokens @param {number} before @param {number} after
 * @returns {Word[]}
 */
function timeRun(old, tokens, before, after) {
  if (old.length === tokens.length) return tokens.map((token, at) => rewrite(old[at], token));
  const start = old.length ? old[0].start : before;
  const end = old.length ? (old.at(-1)?.end ?? after) : after;
  const letters = tokens.reduce((sum, token) => sum + token.length, 0);
  let passed = 0;
  return tokens.map((word) => {
    const from = start + ((end - start) * passed) / letters;
    passed += word.length;
    return { word, start: toMs(from), end: toMs(start + ((end - start) * passed) / letters) };
  });
}

/**
 * A word in the place of another. Its probability stays if only case or punctuation differ.
 * @param {Word} old
 * @param {string} word
 * @returns {Word}
 */
function rewrite(old, word) {
  const { start, end, probability } = old;
  return lettersOf(old.word) === lettersOf(word) && probability !== undefined
    ? { word, start, end, probability }
    : { word, start, end };
}

/** @param {string} text */
const lettersOf = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");

/** @param {number} seconds */
const toMs = (seconds) => Math.round(seconds * 1000) / 1000;

/**
 * The words of a text: between spaces, and where several words were written together, as they were.
 * @param {string} text @param {{text: string, words: readonly Word[]}} segment
 */
function splitTokens(text, segment) {
  const chunks = splitSpaces(text);
  const isSpaced = splitSpaces(segment.text).length === segment.words.length;
  if (isSpaced && !UNSPACED.test(text)) return chunks;
  const groups = groupWords(segment);
  return chunks.flatMap(
    (chunk) => groups.get(chunk) ?? (UNSPACED.test(chunk) ? splitUnspaced(chunk, segment.words) : [chunk]),
  );
}

/**
 * Words that were written without a space between them, by what they are together.
 * @param {{text: string, words: readonly Word[]}} segment
 */
function groupWords(segment) {
  /** @type {Map<string, string[]>} */
  const groups = new Map();
  const words = segment.words.map((word) => word.word);
  let at = 0;
  for (const chunk of splitSpaces(segment.text)) {
    const group = [];
    let rest = chunk;
    while (rest && at < words.length && words[at] && rest.startsWith(words[at])) {
      rest = rest.slice(words[at].length);
      group.push(words[at++]);
    }
    if (!rest && group.length) groups.set(chunk, group);
  }
  return groups;
}

/** @param {string} chunk @param {readonly Word[]} words */
function splitUnspaced(chunk, words) {
  const known = [...new Set(words.map((word) => word.word))].filter(Boolean).sort((a, b) => b.length - a.length);
  const tokens = [];
  let pending = "";
  for (let at = 0; at < chunk.length; ) {
    const found = known.find((word) => chunk.startsWith(word, at));
    if (found) {
      if (pending) tokens.push(pending);
      pending = "";
      tokens.push(found);
      at += found.length;
    } else {
      pending += chunk[at++];
    }
  }
  if (pending) tokens.push(pending);
  return tokens;
}

/**
 * Pairs of indices of words that stay: the same at both ends, and between them the longest common subsequence.
 * @param {string[]} old @param {string[]} tokens
 * @returns {[number, number][]}
 */
function matchTokens(old, tokens) {
  const most = Math.min(old.length, tokens.length);
  let front = 0;
  while (front < most && old[front] === tokens[front]) front++;
  let back = 0;
  while (back < most - front && old[old.length - 1 - back] === tokens[tokens.length - 1 - back]) back++;
  const between = matchLongest(old.slice(front, old.length - back), tokens.slice(front, tokens.length - back));
  return [
    ...Array.from({ length: front }, (_, at) => /** @type {[number, number]} */ ([at, at])),
    ...between.map(([i, j]) => /** @type {[number, number]} */ ([front + i, front + j])),
    ...Array.from({ length: back }, (_, at) => {
      const left = back - at;
      return /** @type {[number, number]} */ ([old.length - left, tokens.length - left]);
    }),
  ];
}

/**
 * Pairs of indices of the longest common subsequence.
 * @param {string[]} old @param {string[]} tokens
 * @returns {[number, number][]}
 */
function matchLongest(old, tokens) {
  const width = tokens.length + 1;
  const lengths = new Uint32Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = tokens.length - 1; j >= 0; j--) {
      const skip = Math.max(lengths[(i + 1) * width + j], lengths[i * width + j + 1]);
      lengths[i * width + j] = old[i] === tokens[j] ? Math.max(skip, lengths[(i + 1) * width + j + 1] + 1) : skip;
    }
  }
  /** @type {[number, number][]} */
  const pairs = [];
  let i = 0;
  let j = 0;
  while (i < old.length && j < tokens.length) {
    if (old[i] === tokens[j] && lengths[i * width + j] === lengths[(i + 1) * width + j + 1] + 1) pairs.push([i++, j++]);
    else if (lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]) i++;
    else j++;
  }
  return pairs;
}
