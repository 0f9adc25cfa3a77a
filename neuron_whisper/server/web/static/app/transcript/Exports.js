// Downloads and copies what is on the page.
import { html } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { Button } from "../ui/Button.js";
import { saveFile } from "../ui/download.js";
import { showToast } from "../ui/toasts.js";
import { exportDocument, exportName, exportPieces, FORMATS } from "./formats.js";

/** @typedef {import("./types.js").TranscriptDocument} TranscriptDocument */

const SLICE_MS = 20;

/** @param {{document: () => TranscriptDocument}} props the document as it is when the button is pressed */
export function Exports({ document: current }) {
  return html`<div class="exports" role="group" aria-label=${t("transcript.exports")}>
    ${Object.keys(FORMATS).map((format) => html`<${Button} key=${format} icon="download" data-format=${format}
      label=${t("transcript.download", { format })} onClick=${() => download(current(), format)}>${format}<//>`)}
    <${Button} icon="copy" label=${t("transcript.copy")} onClick=${() => copy(current())}>${t("transcript.copyShort")}<//>
  </div>`;
}

/** @param {TranscriptDocument} shown @param {string} format */
async function download(shown, format) {
  const type = `${FORMATS[format].mediaType};charset=utf-8`;
  saveFile(new Blob(await collect(exportPieces(shown, format)), { type }), exportName(shown, format));
}

/** The pieces, with pauses in which the page answers. @param {Iterable<string>} pieces */
async function collect(pieces) {
  /** @type {string[]} */
  const slices = [];
  let slice = "";
  let end = performance.now() + SLICE_MS;
  for (const piece of pieces) {
    slice += piece;
    if (performance.now() < end) continue;
    slices.push(slice);
    slice = "";
    await new Promise((resolve) => setTimeout(resolve, 0));
    end = performance.now() + SLICE_MS;
  }
  return [...slices, slice];
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
