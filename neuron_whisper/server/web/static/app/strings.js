// Every text of the page, a line each: key: [English, Japanese, German, Korean, Chinese]. {name} is filled in by t().

export const LOCALES = ["en", "ja", "de", "ko", "zh"];

/** @type {Record<string, [string, string, string, string, string]>} */
export const STRINGS = {
  // ---- the page itself

  // ---- transcribe: files, options, progress

  // ---- transcript and editor

  // ---- player

  // ---- live captions

  // ---- history

  // ---- models and health

  // ---- errors
};
