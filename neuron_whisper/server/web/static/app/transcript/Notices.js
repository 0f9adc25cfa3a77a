// What the server warned of, what it skipped and why, and what another tab changed.
import { html } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { formatClock } from "../ui/figures.js";
import { STRINGS } from "../strings.js";
import { Button } from "../ui/Button.js";

/** @typedef {import("./types.js").Skipped} Skipped */

const MAX_LISTED = 500;

/** A skipped region in words: "0:12 – 0:30: no speech was heard". @param {Skipped} region */
export function describeSkipped({ start, end, reason, text }) {
  const key = `transcript.skipped.${reason}`;
  const why = key in STRINGS ? t(key) : reason;
  return `${formatClock(start)} – ${formatClock(end)}: ${why}${text?.trim() ? ` (“${text.trim()}”)` : ""}`;
}

/**
 * @param {{warnings: readonly string[], skipped: readonly Skipped[], notice: string, onPlay: ((time: number) => void)
 * | null}} props
 */
export function Notices({ warnings, skipped, notice, onPlay }) {
  const seconds = skipped.reduce((sum, { start, end }) => sum + end - start, 0);
  return html`<div class="notices">
    ${notice && html`<p class="notice is-warning" role="status">${t(notice)}</p>`}
    ${warnings.length > 0 && html`<ul class="notice is-warning" aria-label=${t("transcript.warnings")}>
      ${warnings.map((text) => html`<li key=${text}>${text}</li>`)}</ul>`}
    ${skipped.length > 0 && html`<details class="notice skipped">
      <summary>${t("transcript.skippedCount", { n: skipped.length, time: formatClock(seconds) })}</summary>
      <ul>${skipped.slice(0, MAX_LISTED).map((region) => html`<li key=${`${region.start}-${region.end}`}>
        ${describeSkipped(region)} ${onPlay && html`<${Button} icon="play" kind="plain"
          label=${t("transcript.playSkipped", { time: formatClock(region.start) })} onClick=${() => onPlay(region.start)} />`}</li>`)}</ul>
    </details>`}
  </div>`;
}

/**
 * @param {{conflicts: {index: number, theirs: string}[], time: (index: number) => string,
 *   onTake: (index: number, text: string) => void, onKeep: (index: number) => void}} props
 */
export function Conflicts({ conflicts, time, onTake, onKeep }) {
  if (!conflicts.length) return null;
  return html`<ul class="notice is-warning conflicts" role="alert">
    ${conflicts.map(({ index, theirs }) => html`<li key=${index}>
      ${t("transcript.conflict", { time: time(index) })} <q>${theirs}</q>
      <${Button} onClick=${() => onTake(index, theirs)}>${t("transcript.conflictTake")}<//>
      <${Button} onClick=${() => onKeep(index)}>${t("transcript.conflictKeep")}<//>
    </li>`)}</ul>`;
}
