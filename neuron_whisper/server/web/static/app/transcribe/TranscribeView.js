// The first view: files in, transcripts out.
import { html } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";

export function TranscribeView() {
  return html`<h1>${t("page.transcribe")}</h1>`;
}
