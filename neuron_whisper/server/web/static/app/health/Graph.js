// One figure over the last five minutes: its value now, and a line.
import { html } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { KEPT_MS } from "./history.js";

const WIDTH = 300;
const HEIGHT = 72;
const GAP_MS = 10_000; // without an answer for this long, the line is broken

/**
 * @param {{name: string, points: {at: number, value: number | null}[], now: number, most?: number | null,
 *   format: (value: number) => string}} props `most`: the top of the scale at least
 */
export function Graph({ name, points, now, most = 0, format }) {
  const values = points.flatMap(({ value }) => (value === null ? [] : [value]));
  const max = values.length ? Math.max(...values) : 0;
  const top = Math.max(max, most ?? 0) || 1;
  const last = values.at(-1);
  const shown = last === undefined ? "–" : format(last);
  const label = t("health.graphText", { name, now: shown, max: format(max) });
  return html`<figure class="card health-graph">
    <figcaption><span>${name}</span><strong class="num">${shown}</strong></figcaption>
    <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${label}>
      ${[0, 0.5, 1].map((part) => html`<line class="health-grid" key=${part} x1="0" x2=${WIDTH} y1=${yOf(part)} y2=${yOf(part)} />`)}
      ${splitRuns(points).map((run) => {
        const drawn = run.length > 1 ? run : [run[0], run[0]]; // a single point is a dot
        const line = drawn.map(({ at, value }) => `${xOf(at, now)},${yOf(value / top)}`).join(" ");
        const [first, end] = [xOf(run[0].at, now), xOf(run[run.length - 1].at, now)];
        return html`<g key=${run[0].at}>
          <polygon class="health-area" points=${`${first},${yOf(0)} ${line} ${end},${yOf(0)}`} />
          <polyline class="health-line" points=${line} />
        </g>`;
      })}
    </svg>
    <div class="health-axis small soft num">
      <span>${t("health.minutes", { n: 5 })}</span><span>${t("health.most", { max: format(max) })}</span><span>${t("health.now")}</span>
    </div>
  </figure>`;
}

/**
 * The runs of points that have values and follow each other closely.
 * @param {{at: number, value: number | null}[]} points
 */
export function splitRuns(points) {
  /** @type {{at: number, value: number}[][]} */
  const runs = [];
  let before = -Infinity;
  for (const { at, value } of points) {
    if (value === null) continue;
    if (at - before > GAP_MS) runs.push([]);
    runs[runs.length - 1].push({ at, value });
    before = at;
  }
  return runs;
}

/** @param {number} at @param {number} now */
function xOf(at, now) {
  return Math.round(10 * WIDTH * Math.max(0, 1 - (now - at) / KEPT_MS)) / 10;
}

/** @param {number} share of the scale */
function yOf(share) {
  return Math.round(10 * (HEIGHT - 3 - share * (HEIGHT - 6))) / 10;
}
