// The view of one transcript: #transcript/<id>.
import { html } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";

/** @param {{id: string}} props */
export function TranscriptPage({ id }) {
  return html`<h1>${t("page.transcript")} ${id}</h1>`;
}
