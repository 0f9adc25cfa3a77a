// Lines and white space as Python's str has them, for exports of the same bytes as the server's.

const LINE_ENDS = new Set([0x0a, 0x0b, 0x0c, 0x0d, 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029]);
const SPACES = new Set([
  ...LINE_ENDS,
  ...[0x09, 0x1f, 0x20, 0xa0, 0x1680, 0x202f, 0x205f, 0x3000],
  ...[0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a],
]);

/** @param {string} text @param {number} at */
function isSpace(text, at) {
  const code = text.charCodeAt(at);
  return (code <= 0x20 || code >= 0x85) && SPACES.has(code);
}

/** `str.splitlines`: "a\r\nb\n" -> ["a", "b"]. @param {string} text */
export function splitLines(text) {
  const lines = [];
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if ((code > 0x1e && code < 0x85) || !LINE_ENDS.has(code)) continue;
    lines.push(text.slice(start, at));
    if (text[at] === "\r" && text[at + 1] === "\n") at++;
    start = at + 1;
  }
  if (start < text.length) lines.push(text.slice(start));
  return lines;
}

/** `str.strip`. @param {string} text */
export function strip(text) {
  let start = 0;
  let end = text.length;
  while (start < end && isSpace(text, start)) start++;
  while (end > start && isSpace(text, end - 1)) end--;
  return text.slice(start, end);
}

/** White space in front of the text. @param {string} text */
export function leadingSpace(text) {
  let start = 0;
  while (start < text.length && isSpace(text, start)) start++;
  return text.slice(0, start);
}

/** The text in one line, as subtitles and plain text have it. @param {string} text */
export function oneLine(text) {
  return strip(splitLines(text).join(" "));
}

/** The words between white space. @param {string} text */
export function splitSpaces(text) {
  const found = [];
  let start = -1;
  for (let at = 0; at <= text.length; at++) {
    const isBetween = at === text.length || isSpace(text, at);
    if (isBetween && start >= 0) found.push(text.slice(start, at));
    if (isBetween) start = -1;
    else if (start < 0) start = at;
  }
  return found;
}

/** The text without white space. @param {string} text */
export function withoutSpaces(text) {
  return splitSpaces(text).join("");
}
