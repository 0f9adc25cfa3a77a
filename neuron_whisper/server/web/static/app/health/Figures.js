// What the server does now: status, slots, queue, sessions, jobs, memory, version.
import { html } from "../../vendor/htm-preact.js";
import { config } from "../config.js";
import { locale, t } from "../i18n.js";
import { formatNumber } from "./Graphs.js";

const KNOWN = ["ready", "draining", "device_fault", "device_hung", "no_worker"];

/** @param {{health: import("./poll.js").ServerHealth}} props */
export function Figures({ health }) {
  const { readiness, snapshot, serverNow } = health;
  const status = KNOWN.includes(readiness?.status) ? readiness.status : "unknown";
  const started = snapshot?.startedAt ?? health.models?.[0]?.created ?? null;
  const figures = [
    ["health.slots", formatShare(snapshot?.slotsBusy, snapshot?.slots)],
    ["health.queue", formatNumber(snapshot?.waiting ?? readiness?.waiting ?? null)],
    ["health.inFlight", formatNumber(snapshot?.inFlight ?? readiness?.requests ?? null)],
    ["health.sessions", formatShare(snapshot?.sessions, snapshot?.sessionsLimit)],
    ...(config.hasJobs ? [["health.jobs", snapshot?.jobsQueued == null ? "–" : `${snapshot.jobsQueued} / ${snapshot.jobsRunning}`]] : []),
    ...(readiness?.workers
      ? [["health.workers", formatShare(readiness.workers_up, readiness.workers_configured)]]
      : []),
    ["health.memory", formatBytes(snapshot?.memory)],
    ["health.uptime", started === null || !serverNow ? "–" : formatSpan(serverNow / 1000 - started)],
    ["health.version", config.version || "–"],
  ];
  return html`<section class="card health-figures" aria-label=${t("health.state")}>
    <p class=${`badge ${status === "ready" ? "good" : status === "unknown" ? "" : "bad"} health-status`} role="status">${t(`health.status.${status}`)}</p>
    <dl>${figures.map(([key, value]) => html`<div key=${key}><dt>${t(key)}</dt><dd class="num">${value}</dd></div>`)}</dl>
  </section>`;
}

/** @param {number | null | undefined} part @param {number | null | undefined} whole */
function formatShare(part, whole) {
  if (part == null) return "–";
  return whole == null ? formatNumber(part) : t("health.of", { n: formatNumber(part), of: formatNumber(whole) });
}

/** @param {number | null | undefined} bytes */
function formatBytes(bytes) {
  if (bytes == null) return "–";
  const isLarge = bytes >= 1e9;
  const options = { style: "unit", unit: isLarge ? "gigabyte" : "megabyte", maximumFractionDigits: isLarge ? 2 : 0 };
  return new Intl.NumberFormat(locale.get().code, /** @type {any} */ (options)).format(bytes / (isLarge ? 1e9 : 1e6));
}

/** @param {number} seconds */
export function formatSpan(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const days = Math.floor(whole / 86400);
  const h = Math.floor(whole / 3600) % 24;
  const m = Math.floor(whole / 60) % 60;
  if (days) return t("health.days", { n: days, h });
  return h ? t("health.hours", { h, m }) : t("health.mins", { m, s: whole % 60 });
}
