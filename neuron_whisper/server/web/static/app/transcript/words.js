// Which words belong to which segment, and where each stands in its segment's text.
import { oneLine, withoutSpaces } from "./text.js";

/** @typedef {import("./types.js").Word} Word */
/** @typedef {{text: string, word: number}} Piece text of a segment; `word` is an index, -1 for what is between words */

/**
 * Splits the response's one list of words: how many belong to each segment. A segment takes words until they have all
 * its letters; words that are not in its text are taken by their time.
 * @param {readonly {text: string, start: number, end: number}[]} segments
 * @param {readonly Word[]} words
 * @returns {[number, number][]} range in `words` of each segment
 */
export function assignWords(segments, words) {
  let next = 0;
  return segments.map((segment, index) => {
    const from = next;
    next = endByLetters(withoutSpaces(segment.text), words, from) ?? endByTime(segments, index, words, from);
    return [from, next];
  });
}

/** @param {string} letters @param {readonly Word[]} words @param {number} from */
function endByLetters(letters, words, from) {
  let end = from;
  let rest = letters;
  while (rest && end < words.length) {
    const word = withoutSpaces(words[end].word);
    if (!rest.startsWith(word)) return null;
    rest = rest.slice(word.length);
    end++;
  }
  while (!rest && end < words.length && !words[end].word) end++; // a word of white space
  return rest ? null : end;
}

/**
 * @param {readonly {end: number}[]} segments
 * @param {number} index
 * @param {readonly Word[]} words
 * @param {number} from
 */
function endByTime(segments, index, words, from) {
  if (index === segments.length - 1) return words.length;
  let end = from;
  while (end < words.length && (words[end].start + words[end].end) / 2 <= segments[index].end) end++;
  return end;
}

/**
 * The text as it is shown, in pieces: words, and what stands between them. The pieces joined are the text in one line.
 * " Hello, you" with the words "Hello," and "you" -> "Hello,", " ", "you".
 * @param {string} text
 * @param {readonly Word[]} words
 * @returns {Piece[]}
 */
export function piecesOf(text, words) {
  const line = oneLine(text);
  /** @type {Piece[]} */
  const pieces = [];
  let at = 0;
  words.forEach(({ word }, index) => {
    const found = word ? line.indexOf(word, at) : -1;
    if (found < 0) return;
    if (found > at) pieces.push({ text: line.slice(at, found), word: -1 });
    pieces.push({ text: word, word: index });
    at = found + word.length;
  });
  if (at < line.length) pieces.push({ text: line.slice(at), word: -1 });
  return pieces;
}
