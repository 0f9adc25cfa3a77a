// The captions as a transcript, in the shape of the API's verbose_json. Pure.

/** @typedef {import("./captions.js").Captions} Captions */

/**
 * @param {Captions} captions
 * @param {{duration: number, languages: {code: string, name: string}[]}} about `duration` in seconds
 */
export function buildTranscript(captions, { duration, languages }) {
  const said = captions.lines.filter((line) => line.kind === "text");
  const nameOf = (/** @type {string} */ code) =>
    (languages.find((language) => language.code === code)?.name ?? code).toLowerCase();
  const segments = said.flatMap((line) =>
    line.segments.map(({ words: _words, ...segment }) => ({ ...segment, text: ` ${segment.text}`, language: nameOf(line.language) })),
  );
  const words = said.flatMap((line) => line.segments.flatMap((segment) => segment.words ?? []));
  const missing = captions.lines.filter((line) => line.kind !== "text");
  return {
    task: "transcribe",
    language: nameOf(findLanguage(said)),
    duration: Math.round(1000 * duration) / 1000,
    text: said.map((line) => line.text).join(" "),
    segments: segments.map((segment, id) => ({ id, ...segment })),
    ...(words.length ? { words } : {}),
    ...(missing.length ? { skipped: missing.map(toSkipped) } : {}),
    ...(captions.warnings.length ? { warnings: captions.warnings } : {}),
  };
}

/** @param {import("./captions.js").Line} line */
function toSkipped({ kind, start, end, text }) {
  return { start, end, reason: kind === "gap" ? "not_sent" : "failed", text };
}

/** The language that most was said in. @param {import("./captions.js").Line[]} lines */
function findLanguage(lines) {
  /** @type {Map<string, number>} */
  const seconds = new Map();
  for (const { language, start, end } of lines) seconds.set(language, (seconds.get(language) ?? 0) + end - start);
  return [...seconds].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "";
}
