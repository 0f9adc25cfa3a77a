// Lines and white space as Python's str has them, for exports of the same bytes as the server's.

const LINE_ENDS = "\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029";
const SPACES = `${LINE_ENDS}\t\x1f \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000`;

/** `str.splitlines`: "a\r\nb\n" -> ["a", "b"]. @param {string} text */
export function splitLines(text) {
  const lines = [];
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    if (!LINE_ENDS.includes(text[at])) continue;
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
  while (start < end && SPACES.includes(text[start])) start++;
  while (end > start && SPACES.includes(text[end - 1])) end--;
  return text.slice(start, end);
}

/** White space in front of the text. @param {string} text */
export function leadingSpace(text) {
  let start = 0;
  while (start < text.length && SPACES.includes(text[start])) start++;
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
    const isSpace = at === text.length || SPACES.includes(text[at]);
    if (isSpace && start >= 0) found.push(text.slice(start, at));
    if (isSpace) start = -1;
    else if (start < 0) start = at;
  }
  return found;
}

/** The text without white space. @param {string} text */
export function withoutSpaces(text) {
  return splitSpaces(text).join("");
}
