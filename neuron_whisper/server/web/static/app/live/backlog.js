// What was said and has no final text yet: kept so that a new connection can hear it again. Positions are samples.

/**
 * @param {number} maxSamples beyond which the oldest are given up
 */
export function createBacklog(maxSamples) {
  /** @type {{start: number, samples: Int16Array}[]} */
  let pieces = [];
  let start = 0;
  let end = 0;

  /** @param {number} position */
  function forgetBefore(position) {
    start = Math.max(start, Math.min(position, end));
    pieces = pieces.filter((piece) => piece.start + piece.samples.length > start);
  }
  return {
    /** The oldest sample that is kept. */
    get start() {
      return start;
    },
    /** One past the newest. */
    get end() {
      return end;
    },
    /** @param {Int16Array} samples */
    push(samples) {
      pieces.push({ start: end, samples });
      end += samples.length;
      if (end - start > maxSamples) forgetBefore(end - maxSamples);
    },
    /** These have their final text, or need none. @param {number} position */
    settle: forgetBefore,
    /**
     * What lies at a position, at most a piece; null: nothing yet.
     * @param {number} position at `start` or later
     * @returns {Int16Array | null}
     */
    read(position) {
      const piece = pieces.find((one) => one.start + one.samples.length > position);
      return piece && position >= piece.start ? piece.samples.subarray(position - piece.start) : null;
    },
  };
}

/**
 * Where a new connection begins, and what is lost before it.
 * @param {{start: number}} backlog
 * @param {{settled: number, heard: number, isOpen: boolean}} progress in samples: the end of the last final text, how
 *   far the server had certainly heard, and whether something in between was speech without its text
 * @returns {{from: number, gap: {start: number, end: number} | null}}
 */
export function findReplay({ start }, { settled, heard, isOpen }) {
  const from = Math.max(settled, start);
  const needed = isOpen ? settled : Math.max(settled, heard);
  return { from, gap: needed < from ? { start: needed, end: from } : null };
}
