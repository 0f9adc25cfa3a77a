// The view of models and health, asked for while it is open.
import { html, useEffect } from "../../vendor/htm-preact.js";
import { apiKey, askForKey } from "../api/key.js";
import { t } from "../i18n.js";
import { useStore } from "../state.js";
import { Button } from "../ui/Button.js";
import { Icon } from "../ui/icons.js";
import { Figures } from "./Figures.js";
import { formatTime, Graphs } from "./Graphs.js";
import { ModelsTable } from "./ModelsTable.js";
import { health, watchHealth } from "./poll.js";

export function HealthView() {
  const state = useStore(health, (whole) => whole);
  const key = useStore(apiKey, (whole) => whole.value);
  useEffect(() => watchHealth(), [key]);
  const { failedAt, metricsStatus, modelsStatus } = state;
  const isRead = state.models !== null || modelsStatus > 0; // what is below would jump when the models come
  return html`<div class="health stack">
    <h1>${t("health.title")}</h1>
    <div role="status">${failedAt > 0 && html`<p class="note bad"><${Icon} name="offline" />${t("health.stale", { time: formatTime(failedAt) })}</p>`}</div>
    <${Figures} health=${state} />
    ${metricsStatus > 0 && html`<${Refusal} status=${metricsStatus} text=${t(metricsStatus === 403 ? "health.metricsDenied" : "health.metricsKey")} />`}
    ${modelsStatus > 0 && html`<${Refusal} status=${modelsStatus} text=${t("health.modelsKey")} />`}
    ${state.models && html`<${ModelsTable} models=${state.models} isDenied=${metricsStatus === 403} />`}
    ${isRead && metricsStatus === 0 && html`<${Graphs} points=${state.points} snapshot=${state.snapshot} />`}
  </div>`;
}

/** @param {{status: number, text: string}} props */
function Refusal({ status, text }) {
  return html`<div class="note warn"><${Icon} name="key" /><div class="grow stack live-tight"><p>${text}</p>
    <div class="row"><${Button} icon="key" onClick=${() => askForKey(status === 401 ? "missing" : "")}>
      ${t(status === 401 ? "page.keyEnter" : "page.keyChange")}<//></div></div></div>`;
}
