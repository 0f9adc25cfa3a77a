// One transcript or job of the history, and what can be done with it.
import { html } from "../../vendor/htm-preact.js";
import { locale, t } from "../i18n.js";
import { goTo, toHash } from "../router.js";
import { loadAudio } from "../storage/index.js";
import { formatClock } from "../ui/figures.js";
import { addFiles } from "../transcribe/store.js";
import { Button } from "../ui/Button.js";
import { nameLanguage } from "../ui/languages.js";
import { showToast } from "../ui/toasts.js";
import { deleteRow } from "./store.js";

/** @typedef {import("./rows.js").Row} Row */

const TONES = { done: "", queued: "", running: "busy", failed: "bad", cancelled: "" };

/** @param {{row: Row}} props */
export function HistoryRow({ row }) {
  const remove = (/** @type {any} */ event) => {
    const own = event.target.closest("li");
    const next = own.nextElementSibling ?? own.previousElementSibling;
    next?.querySelector("button:last-of-type")?.focus(); // the keyboard goes on from there
    deleteRow(row);
  };
  const canOpen = row.state === "done" || row.state === "running" || row.state === "queued";
  return html`<li class="history-row" data-state=${row.state}>
    <div class="grow history-text">
      <p class="cut history-name" title=${row.name}>
        ${canOpen ? html`<a href=${toHash("transcript", row.id)}>${row.name}</a>` : row.name}
      </p>
      ${row.error ? html`<p class="small history-error">${row.error}</p>` : row.excerpt && html`<p class="small soft cut">${row.excerpt}</p>`}
      <p class="small soft num">
        ${row.state !== "done" && html`<${StateBadge} row=${row} />`}${describe(row)}
      </p>
    </div>
    <div class="row queue-buttons">
      ${row.hasAudio && html`<${Button} icon="retry" kind="plain" label=${t("history.again", { name: row.name })} onClick=${() => sendAgain(row)} />`}
      <${Button} icon="trash" kind="plain" label=${t("history.delete", { name: row.name })} onClick=${remove} />
    </div>
  </li>`;
}

/** @param {{row: Row}} props */
function StateBadge({ row: { state, percent } }) {
  const text = percent === null ? t(`history.state.${state}`) : `${t(`history.state.${state}`)} ${percent} %`;
  return html`<span class=${`badge ${TONES[state]}`}>${text}</span> `;
}

/** @param {Row} row */
function describe({ at, duration, language, isKept, jobId, expiresAt }) {
  const code = locale.get().code;
  const parts = [new Date(at).toLocaleTimeString(code, { timeStyle: "short" })];
  if (duration !== null) parts.push(formatClock(duration));
  if (language) parts.push(nameLanguage(language));
  parts.push(isKept ? t("history.here") : t("history.onServer"));
  if (jobId && !isKept && expiresAt) {
    parts.push(
      t("history.expires", {
        date: new Date(expiresAt).toLocaleString(code, { dateStyle: "short", timeStyle: "short" }),
      }),
    );
  }
  return parts.join(" · ");
}

/** Puts the recording that the browser keeps into the queue again. @param {Row} row */
async function sendAgain(row) {
  const blob = await loadAudio(row.id).catch(() => null);
  if (!blob) {
    showToast(t("history.audioGone"));
    return;
  }
  goTo("transcribe");
  await addFiles([new File([blob], row.name, { type: blob.type })], { duration: row.duration });
}
