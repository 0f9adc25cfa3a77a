// Server-sent events from text that comes in pieces, cut anywhere.

/**
 * A parser that is fed pieces of a response. Comments, and fields other than `data`, are skipped.
 * @param {(data: string) => void} onData called with each event's data, its lines joined by \n
 * @returns {(piece: string) => void}
 */
export function createSseParser(onData) {
  let pending = "";
  let isFirst = true;
  /** @type {string[]} */
  let data = [];

  /** @param {string} line */
  const readLine = (line) => {
    if (line === "") {
      if (data.length) onData(data.join("\n"));
      data = [];
    } else if (line === "data" || line.startsWith("data:")) {
      data.push(line.slice(5).replace(/^ /, ""));
    }
  };

  return (piece) => {
    if (isFirst && piece) {
      piece = piece.replace(/^\uFEFF/, "");
      isFirst = false;
    }
    pending += piece;
    // a \r at the end may be the first half of \r\n: it waits for the next piece
    const isCut = pending.endsWith("\r");
    const lines = (isCut ? pending.slice(0, -1) : pending).split(/\r\n|\r|\n/);
    pending = (lines.pop() ?? "") + (isCut ? "\r" : "");
    for (const line of lines) readLine(line);
  };
}
