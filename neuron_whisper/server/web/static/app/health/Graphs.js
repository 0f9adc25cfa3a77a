// The figures over the last five minutes, as graphs and as a table.
import { html } from "../../vendor/htm-preact.js";
import { locale, t } from "../i18n.js";
import { Graph } from "./Graph.js";

const ROW_MS = 15_000; // of the table
const COLUMNS = /** @type {const} */ (["requests", "slots", "queue", "sessions", "audio", "rtf"]);

/** @param {{points: import("./history.js").Point[], snapshot: import("./history.js").Snapshot | null}} props */
export function Graphs({ points, snapshot }) {
  const now = points.at(-1)?.at ?? 0;
  const tops = { slots: snapshot?.slots, sessions: 1, queue: 1 };
  return html`<section class="stack">
    <h2>${t("health.graphs")}</h2>
    <div class="health-graphs">
      ${COLUMNS.map((column) => html`<${Graph} key=${column} name=${t(`health.graph.${column}`)} now=${now} format=${formatNumber}
        most=${/** @type {Record<string, number | null | undefined>} */ (tops)[column]}
        points=${points.map((point) => ({ at: point.at, value: point[column] }))} />`)}
    </div>
    <details class="disclosure">
      <summary>${t("health.table")}</summary>
      <div class="health-scroll" tabindex="0" role="region" aria-label=${t("health.table")}>
        <table class="health-table num">
          <thead><tr><th scope="col">${t("health.time")}</th>
            ${COLUMNS.map((column) => html`<th scope="col" key=${column}>${t(`health.graph.${column}`)}</th>`)}</tr></thead>
          <tbody>${chooseRows(points).map((point) => html`<tr key=${point.at}>
            <th scope="row">${formatTime(point.at)}</th>
            ${COLUMNS.map((column) => html`<td key=${column}>${formatNumber(point[column])}</td>`)}
          </tr>`)}</tbody>
        </table>
      </div>
    </details>
  </section>`;
}

/** The newest point of each quarter of a minute, the newest first. @param {import("./history.js").Point[]} points */
export function chooseRows(points) {
  const last = new Map(points.map((point) => [Math.floor(point.at / ROW_MS), point]));
  return [...last.values()].reverse();
}

/** @param {number | null} value */
export function formatNumber(value) {
  if (value === null) return "–";
  return new Intl.NumberFormat(locale.get().code, { maximumFractionDigits: value < 10 ? 2 : 0 }).format(value);
}

/** @param {number} at Unix milliseconds */
export function formatTime(at) {
  return new Date(at).toLocaleTimeString(locale.get().code);
}
