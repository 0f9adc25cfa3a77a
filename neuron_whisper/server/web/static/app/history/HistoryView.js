// What was transcribed: this key's jobs on the server, and what this browser keeps.
import { html, useEffect, useMemo, useState } from "../../vendor/htm-preact.js";
import { apiKey } from "../api/key.js";
import { config } from "../config.js";
import { locale, t } from "../i18n.js";
import { useStore } from "../state.js";
import { onAnnounced } from "../storage/index.js";
import { formatSize } from "../ui/figures.js";
import { hasEnded } from "../transcribe/queue.js";
import { queue } from "../transcribe/store.js";
import { Button } from "../ui/Button.js";
import { Icon } from "../ui/icons.js";
import { HistoryRow } from "./HistoryRow.js";
import { groupByDay, joinRows, searchRows } from "./rows.js";
import { history, readHistory, readMore } from "./store.js";

const POLL_MS = 3000;

export function HistoryView() {
  const { entries, jobs, audio, use, after, isRead, problem, deleted } = useStore(history, (state) => state);
  const key = useStore(apiKey, (state) => state.value);
  const ended = useStore(queue, (state) => state.items.filter(hasEnded).length);
  const [query, setQuery] = useState("");
  const rows = useMemo(
    () => joinRows(entries, jobs, audio, after !== "").filter((row) => !deleted.has(row.id)),
    [entries, jobs, audio, after, deleted],
  );
  const found = useMemo(() => searchRows(rows, query), [rows, query]);
  const isBusy = rows.some((row) => row.state === "queued" || row.state === "running");

  useEffect(() => void readHistory(), [key, ended]);
  useEffect(() => onAnnounced(() => void readHistory()), []);
  useEffect(() => {
    if (!isBusy) return undefined;
    const timer = setInterval(readHistory, POLL_MS);
    return () => clearInterval(timer);
  }, [isBusy]);

  return html`<div class="stack history">
    <div class="row wrap history-head">
      <h1 class="grow">${t("page.history")}</h1>
      <div class="search">
        <${Icon} name="search" size=${18} />
        <input class="input" type="search" value=${query} placeholder=${t("history.search")} aria-label=${t("history.search")}
          onInput=${(/** @type {any} */ event) => setQuery(event.target.value)} />
      </div>
    </div>
    ${problem && html`<div class="note bad" role="alert"><${Icon} name="alert" size=${18} /><span class="grow">${problem}</span></div>`}
    ${!isRead ? html`<p class="loading" aria-busy="true">${t("page.loading")}</p>` : html`<${Groups} rows=${found} query=${query} />`}
    ${after && html`<div class="row history-more"><${Button} onClick=${readMore}>${t("history.more")}<//></div>`}
    <p class="soft small">
      ${config.hasJobs ? t("history.whereJobs") : t("history.where")}
      ${use && use.used > 0 && html` ${t("history.use", { used: formatSize(use.used, locale.get().code), limit: formatSize(use.limit, locale.get().code) })}`}
    </p>
  </div>`;
}

/** @param {{rows: import("./rows.js").Row[], query: string}} props */
function Groups({ rows, query }) {
  if (!rows.length && query) return html`<p class="empty" role="status">${t("history.notFound", { query })}</p>`;
  if (!rows.length) {
    return html`<div class="empty">
      <${Icon} name="clock" size=${40} />
      <h2>${t("history.none")}</h2>
      <p>${t("history.noneHint")}</p>
      <a class="button primary" href="#transcribe">${t("page.transcribe")}</a>
    </div>`;
  }
  return groupByDay(rows, Date.now()).map(
    (group) => html`<section class="history-day" key=${group.day} aria-labelledby=${`day-${group.day}`}>
    <h2 class="soft small" id=${`day-${group.day}`}>${nameDay(group)}</h2>
    <ul class="history-list card">${group.rows.map((row) => html`<${HistoryRow} key=${row.id} row=${row} />`)}</ul>
  </section>`,
  );
}

/** @param {{day: number, daysAgo: number}} group */
function nameDay({ day, daysAgo }) {
  const code = locale.get().code;
  if (daysAgo === 0 || daysAgo === 1) {
    const name = new Intl.RelativeTimeFormat(code, { numeric: "auto" }).format(-daysAgo, "day");
    return name.charAt(0).toLocaleUpperCase(code) + name.slice(1);
  }
  return new Date(day).toLocaleDateString(code, { dateStyle: "full" });
}
