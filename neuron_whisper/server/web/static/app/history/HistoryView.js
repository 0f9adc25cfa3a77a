// What was transcribed: this key's jobs on the server, and what this browser keeps.
import { html } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";

export function HistoryView() {
  return html`<h1>${t("page.history")}</h1>`;
}
