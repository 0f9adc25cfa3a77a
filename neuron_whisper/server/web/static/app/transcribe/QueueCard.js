// One file of the queue: its state, how far it is, what went wrong, and what can be done with it.
import { html } from "../../vendor/htm-preact.js";
import { locale, t } from "../i18n.js";
import { toHash } from "../router.js";
import { Button } from "../ui/Button.js";
import { useNow } from "../ui/hooks.js";
import { Icon } from "../ui/icons.js";
import { estimateLeft, getFraction } from "./progress.js";
import { formatClock, formatSize } from "../ui/figures.js";
import { hasEnded, isActive, isBusy } from "./queue.js";
import { focusCard, RetryNote } from "./RetryNote.js";
import { cancel } from "./runner.js";
import { dispatch } from "./store.js";

/** @typedef {import("./queue.js").Item} Item */

const ICONS = {
  ready: "file",
  waiting: "clock",
  uploading: "upload",
  working: "logo",
  done: "check",
  failed: "alert",
  cancelled: "stop",
};

/** @param {{item: Item}} props */
export function QueueCard({ item }) {
  const isWorking = isBusy(item);
  const stop = (/** @type {any} */ event) => {
    focusCard(event);
    cancel(item.id);
  };
  const remove = (/** @type {any} */ event) => {
    const card = event.currentTarget.closest("li");
    const next = card.nextElementSibling ?? card.previousElementSibling ?? document.querySelector(".drop");
    /** @type {HTMLElement | null} */ (next)?.focus();
    dispatch({ type: "remove", id: item.id });
  };
  const tone = item.state === "done" ? "good" : item.error ? "bad" : isActive(item) ? "busy" : "";
  return html`<li class="card queue-card" tabindex="-1" data-state=${item.state}>
    <div class="row">
      <span class=${`queue-icon ${tone}`}><${Icon} name=${item.error ? "alert" : ICONS[item.state]} size=${18} /></span>
      <div class="grow">
        <p class="queue-name cut" title=${item.name}>${item.name}</p>
        <p class="soft small num cut">${describe(item)}</p>
      </div>
      <div class="row queue-buttons">
        ${item.state === "done" && html`<a class="button primary" href=${toHash("transcript", item.documentId)}>${t("transcribe.open")}<span class="hidden-text"> ${item.name}</span></a>`}
        ${isWorking && html`<${Button} onClick=${stop}>${t("page.cancel")}<span class="hidden-text"> ${item.name}</span><//>`}
        ${
          (item.state === "ready" || hasEnded(item)) &&
          html`<${Button} icon="close" kind="plain"
          label=${t("transcribe.remove", { name: item.name })} onClick=${remove} />`
        }
      </div>
    </div>
    ${isWorking && html`<${Progress} item=${item} />`}
    ${(item.error || item.state === "cancelled") && html`<${RetryNote} item=${item} />`}
  </li>`;
}

/** @param {Item} item */
function describe({ size, duration, options, via, jobId }) {
  const parts = [formatSize(size, locale.get().code)];
  if (duration !== null) parts.push(formatClock(duration));
  if (options?.model) parts.push(options.model);
  if (jobId || (options && via === "job")) parts.push(t("transcribe.asJob"));
  return parts.join(" · ");
}

/** @param {{item: Item}} props */
function Progress({ item }) {
  const now = useNow(500, item.state === "working");
  const fraction = item.state === "waiting" ? 0 : item.state === "uploading" ? item.uploaded : getFraction(item);
  const isUnknown = item.state === "working" && !item.done;
  const percent = Math.floor((fraction ?? 0) * 100);
  return html`<div class="queue-progress">
    <div class="row small num">
      <span class="grow cut">${describeProgress(item, percent, isUnknown)}</span>
      <span class="soft">${describeLeft(item, now)}</span>
    </div>
    <div class=${`bar${isUnknown ? " unknown" : ""}`} role="progressbar" aria-label=${item.name} aria-valuemin="0" aria-valuemax="100"
      aria-valuenow=${isUnknown ? undefined : percent} aria-valuetext=${describeProgress(item, percent, isUnknown)}>
      <span ref=${(/** @type {HTMLElement | null} */ bar) => {
        if (bar) bar.style.transform = isUnknown ? "" : `scaleX(${fraction ?? 0})`;
      }}></span>
    </div>
  </div>`;
}

/** @param {Item} item @param {number} percent @param {boolean} isUnknown */
function describeProgress(item, percent, isUnknown) {
  if (item.state === "waiting") return t("transcribe.waiting");
  if (item.state === "uploading") return t("transcribe.uploading", { percent });
  if (item.stage === "queued") return t("transcribe.queued");
  return isUnknown ? t("transcribe.preparing") : t("transcribe.working", { percent });
}

/** @param {Item} item @param {number} now */
function describeLeft(item, now) {
  if (item.state !== "working") return "";
  const left = estimateLeft({ done: item.done, duration: item.duration, elapsed: (now - item.startedAt) / 1000 });
  return left === null ? "" : t("transcribe.left", { time: formatClock(Math.ceil(left)) });
}
