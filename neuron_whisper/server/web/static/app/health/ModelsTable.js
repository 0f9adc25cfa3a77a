// The server's models with their states; with an admin's key they are loaded and unloaded here.
import { html, useState } from "../../vendor/htm-preact.js";
import { ApiError, requestJson } from "../api/client.js";
import { config } from "../config.js";
import { t } from "../i18n.js";
import { Button } from "../ui/Button.js";
import { Dialog } from "../ui/Dialog.js";
import { Icon } from "../ui/icons.js";
import { poll } from "./poll.js";

/** @param {{models: any[], isDenied: boolean}} props `models` of GET /v1/models; `isDenied`: the key is no admin's */
export function ModelsTable({ models, isDenied }) {
  const hasAdmin = config.hasModelAdmin && !isDenied;
  const [busy, setBusy] = useState("");
  const [problem, setProblem] = useState("");
  const [asked, ask] = useState("");

  const change = async (/** @type {"load" | "unload"} */ action, /** @type {string} */ model) => {
    ask("");
    setBusy(model);
    setProblem("");
    try {
      await requestJson(`v1/models/${action}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model }),
      });
    } catch (error) {
      const isDenied = error instanceof ApiError && error.status === 403;
      setProblem(isDenied ? t("health.adminOnly") : error instanceof Error ? error.message : String(error));
    }
    setBusy("");
    void poll();
  };

  return html`<section class="card stack">
    <h2>${t("health.models")}</h2>
    <div class="health-scroll" tabindex="0" role="region" aria-label=${t("health.models")}>
      <table class="health-table health-models">
        <thead><tr>
          <th scope="col">${t("health.model")}</th><th scope="col">${t("health.state")}</th>
          <th scope="col">${t("health.inFlight")}</th>${hasAdmin && html`<th scope="col">${t("health.action")}</th>`}
        </tr></thead>
        <tbody>${models.map((model) => html`<${Row} key=${model.id} model=${model} hasAdmin=${hasAdmin}
          isBusy=${busy === model.id} onLoad=${() => change("load", model.id)} onUnload=${() => ask(model.id)} />`)}</tbody>
      </table>
    </div>
    <div role="alert">${problem && html`<p class="note bad"><${Icon} name="alert" />${problem}</p>`}</div>
    ${!config.hasModelAdmin && html`<p class="small soft">${t("health.noAdmin")}</p>`}
    ${asked && html`<${Dialog} title=${t("health.unloadName", { name: asked })} onClose=${() => ask("")}>
      <p>${t("health.confirmUnload", { name: asked })}</p>
      <div class="dialog-actions">
        <${Button} onClick=${() => ask("")}>${t("page.cancel")}<//>
        <${Button} kind="primary" onClick=${() => change("unload", asked)}>${t("health.unload")}<//>
      </div>
    <//>`}
  </section>`;
}

/** @param {{model: any, hasAdmin: boolean, isBusy: boolean, onLoad: () => void, onUnload: () => void}} props */
function Row({ model, hasAdmin, isBusy, onLoad, onUnload }) {
  const state = !model.available && model.state === "unloaded" ? "disabled" : model.state;
  const isChanging = isBusy || model.state === "loading" || model.state === "unloading";
  const isUp = model.state === "loaded";
  const kind = isUp ? "good" : model.state === "failed" ? "bad" : isChanging ? "busy" : "";
  return html`<tr>
    <th scope="row"><span class="mono">${model.id}</span>${model.default && html` <span class="badge">${t("health.default")}</span>`}
      ${model.aliases.length > 0 && html`<div class="small soft">${t("health.aliases")}: ${model.aliases.join(", ")}</div>`}</th>
    <td data-label=${t("health.state")}><span class=${`badge ${kind} health-wrap`}>${t(`health.state.${state}`)}</span></td>
    <td class="num" data-label=${t("health.inFlight")}>${model.in_flight}</td>
    ${hasAdmin && html`<td>${isUp
      ? html`<${Button} disabled=${isChanging} aria-label=${t("health.unloadName", { name: model.id })} onClick=${onUnload}>${t("health.unload")}<//>`
      : html`<${Button} disabled=${isChanging} aria-label=${t("health.loadName", { name: model.id })} onClick=${onLoad}>${t("health.load")}<//>`}</td>`}
  </tr>`;
}
