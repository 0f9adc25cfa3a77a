// Transcripts as the server gives them, made up: of any length, with speakers, what was skipped, and warnings.

const SENTENCES = [
  "Printing in the only sense with which we are at present concerned differs from most if not from all the arts.",
  "In being comparatively modern, it has had less time to lose its way.",
  "For although the Chinese took impressions from wood blocks engraved in relief for centuries before,",
  "the invention of movable metal letters may justly be considered as the invention of the art of printing.",
  "And it is worth mention that as an example of fine typography the earliest book has never been surpassed.",
];

/**
 * A `verbose_json` body with words.
 * @param {{minutes: number, speakers?: number, seconds?: number}} values `seconds` of each segment
 */
export function makeTranscript({ minutes, speakers = 0, seconds = 6 }) {
  const duration = minutes * 60;
  const segments = [];
  for (let start = 0; start + seconds <= duration; start += seconds) {
    const id = segments.length;
    const text = ` ${SENTENCES[id % SENTENCES.length]}`;
    const words = spread(text.trim().split(" "), start, start + seconds - 0.5, id);
    const speaker = speakers ? { speaker: `SPEAKER_0${Math.floor(id / 2) % speakers}` } : {};
    segments.push({
      id,
      seek: 0,
      start,
      end: start + seconds - 0.5,
      text,
      tokens: [50363, 1002],
      temperature: 0,
      avg_logprob: -0.2123,
      compression_ratio: 1.51,
      no_speech_prob: 0.0101,
      words,
      ...speaker,
    });
  }
  const skipped = minutes >= 2 ? [{ start: 59.5, end: 60, reason: "no_speech" }] : [];
  return {
    task: "transcribe",
    language: "english",
    duration,
    text: segments
      .map(({ text }) => text)
      .join("")
      .trim(),
    segments,
    words: segments.flatMap(({ words }) => words),
    skipped,
    warnings: [],
  };
}

/** Words with equal times from start to end; every seventeenth is doubtful. */
function spread(words, start, end, seed) {
  const step = (end - start) / words.length;
  return words.map((word, at) => ({
    word,
    start: round(start + at * step),
    end: round(start + (at + 1) * step),
    probability: (seed * 7 + at) % 17 === 0 ? 0.31 : 0.97,
  }));
}

/** Peaks of a recording, as the server sends them. @param {number} seconds */
export function makePeaks(seconds) {
  const peaks = Array.from({ length: 20 * seconds }, (_, at) =>
    Math.round(40 + 90 * Math.abs(Math.sin(at / 9) * Math.sin(at / 47))),
  );
  return { peaks_per_second: 20, peaks };
}

const round = (seconds) => Math.round(seconds * 100) / 100;
