// Times and sizes as every view writes them.

/** 75.4 -> "1:15", 3725 -> "1:02:05". @param {number} seconds */
export function formatClock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const tail = String(rest).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** In units of 1024, as the server counts its limits. @param {number} bytes @param {string} [locale] */
export function formatSize(bytes, locale) {
  /** @type {[number, string][]} */
  const units = [
    [1024 ** 3, "GB"],
    [1024 ** 2, "MB"],
    [1024, "kB"],
  ];
  const [size, unit] = units.find(([least]) => bytes >= least) ?? [1, "B"];
  const value = bytes / size;
  return `${value.toLocaleString(locale, { maximumFractionDigits: value < 10 && size > 1024 ? 1 : 0 })} ${unit}`;
}

/**
 * A limit in whole units: 7200 -> "2 hr", as the language writes it.
 * @param {number} seconds
 * @param {string} [locale]
 */
export function formatLimit(seconds, locale) {
  const [value, unit] =
    seconds >= 3600 ? [seconds / 3600, "hour"] : seconds >= 60 ? [seconds / 60, "minute"] : [seconds, "second"];
  return value.toLocaleString(locale, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 1 });
}
