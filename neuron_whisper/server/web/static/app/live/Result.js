// After the captions: keeps them as a transcript with the recording, opens it, and gives files.
import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { config } from "../config.js";
import { t } from "../i18n.js";
import { Button } from "../ui/Button.js";
import { saveFile } from "../ui/download.js";
import { buildTranscript } from "./document.js";
import { clear, getPeaks, getRecording, session as store } from "./session.js";

const FILES = ["txt", "srt", "vtt", "json"];

/** @param {{session: import("./session.js").SessionState}} props */
export function Result({ session }) {
  const [notice, setNotice] = useState("");
  useEffect(() => {
    keep(session).then(setNotice, () => setNotice("live.notKept"));
  }, []);
  if (!session.seconds) return html`<div class="row"><${Button} icon="mic" onClick=${clear}>${t("live.again")}<//></div>`;
  return html`<section class="card stack live-tight" aria-label=${t("live.result")}>
    <p role="status">${t(session.transcript ? "live.keptAs" : "live.keeping", { name: session.transcript?.fileName ?? "" })}</p>
    ${notice && html`<p class="small soft">${t(notice)}</p>`}
    <div class="row wrap">
      <${Button} kind="primary" icon="file" disabled=${!session.transcript}
        onClick=${() => (location.hash = `#transcript/${session.transcript?.id}`)}>${t("live.open")}<//>
      ${FILES.map((format) => html`<${Button} key=${format} icon="download" disabled=${!session.transcript}
        onClick=${() => saveText(session, format)}>${format}<//>`)}
      <${Button} icon="download" onClick=${() => saveFile(getRecording(), `${baseName(session)}.wav`)}>wav<//>
      <${Button} icon="mic" onClick=${clear}>${t("live.again")}<//>
    </div>
  </section>`;
}

/**
 * Keeps the transcript once; a key of the page's texts about what was not kept.
 * @param {import("./session.js").SessionState} session
 */
async function keep(session) {
  if (session.transcript || !session.seconds) return "";
  const { fromResponse, openTranscript } = await import("../transcript/index.js");
  const { link, recorded, startedAt } = session;
  const body = buildTranscript(link.captions, { duration: recorded, languages: config.languages });
  const doc = fromResponse(body, { fileName: `${baseName(session)}.wav`, model: link.model, now: startedAt });
  const opened = await openTranscript(doc, getRecording(), { peaks: getPeaks(), show: false });
  store.set({ transcript: opened.doc });
  return opened.notice;
}

/** @param {import("./session.js").SessionState} session @param {string} format */
async function saveText({ transcript }, format) {
  if (!transcript) return;
  const { exportDocument, exportName, FORMATS } = await import("../transcript/index.js");
  const blob = new Blob([exportDocument(transcript, format)], { type: FORMATS[format].mediaType });
  saveFile(blob, exportName(transcript, format));
}

/**
 * "live 2026-11-28 14.05": by the local clock, without what file systems refuse.
 * @param {{startedAt: number}} session
 */
function baseName({ startedAt }) {
  const local = new Date(startedAt - 60_000 * new Date(startedAt).getTimezoneOffset()).toISOString();
  return `live ${local.slice(0, 10)} ${local.slice(11, 16).replace(":", ".")}`;
}
