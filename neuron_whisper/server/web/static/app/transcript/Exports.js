// Downloads and copies what is on the page.
import { html } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { Button } from "../ui/Button.js";
import { showToast } from "../ui/toasts.js";
import { exportDocument, exportName, FORMATS } from "./formats.js";

/** @typedef {import("./types.js").TranscriptDocument} TranscriptDocument */

/** @param {{document: () => TranscriptDocument}} props the document as it is when the button is pressed */
export function Exports({ document: current }) {
  return html`<div class="exports" role="group" aria-label=${t("transcript.exports")}>
    ${Object.keys(FORMATS).map((format) => html`<${Button} key=${format} icon="download" data-format=${format}
      label=${t("transcript.download", { format })} onClick=${() => download(current(), format)}>${format}<//>`)}
    <${Button} icon="copy" label=${t("transcript.copy")} onClick=${() => copy(current())}>${t("transcript.copyShort")}<//>
  </div>`;
}

/** @param {TranscriptDocument} shown @param {string} format */
function download(shown, format) {
  const { mediaType } = FORMATS[format];
  const url = URL.createObjectURL(new Blob([exportDocument(shown, format)], { type: `${mediaType};charset=utf-8` }));
  const link = Object.assign(document.createElement("a"), { href: url, download: exportName(shown, format) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000); // a browser may read it later
}

/** @param {TranscriptDocument} shown */
async function copy(shown) {
  try {
    await navigator.clipboard.writeText(exportDocument(shown, "txt").trimEnd());
    showToast(t("transcript.copied"));
  } catch {
    showToast(t("transcript.notCopied"));
  }
}
