// The view of one transcript: #transcript/<id> of a document, or of a job, which is followed while it runs.
import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { apiKey } from "../api/key.js";
import { locale, t } from "../i18n.js";
import { useStore } from "../state.js";
import { formatClock } from "../ui/figures.js";
import { TranscriptView } from "../transcript/TranscriptView.js";
import { Button } from "../ui/Button.js";
import { Icon } from "../ui/icons.js";
import { nameLanguage } from "../ui/languages.js";
import { findTranscript } from "./load.js";
import { RunningJob } from "./RunningJob.js";

/**
 * @typedef {{id: string, opened?: import("./load.js").Opened, job?: import("../api/jobs.js").Job, audio?: Blob |
 * null, problem?: string}}
 * Found
 */

/** @param {{id: string}} props */
export function TranscriptPage({ id }) {
  const [found, setFound] = useState(/** @type {Found | null} */ (null));
  const [tries, setTries] = useState(0);
  const key = useStore(apiKey, (state) => state.value);
  useEffect(() => {
    let isCurrent = true;
    const show = (/** @type {Found} */ result) => {
      if (isCurrent) setFound(result);
    };
    findTranscript(id)
      .then((result) => show(result ? { id, ...result } : { id, problem: t("page.missing") }))
      .catch((error) => show({ id, problem: error.status === 404 ? t("page.missing") : error.message }));
    return () => {
      isCurrent = false;
    };
  }, [id, tries]);
  useEffect(() => {
    if (found?.problem) setTries(tries + 1); // it may have been the key that was wanted
  }, [key]);

  if (!found || found.id !== id) return html`<p class="loading" aria-busy="true">${t("page.loading")}</p>`;
  const { opened, job, audio: recording, problem } = found;
  if (problem)
    return html`<${Missing} text=${problem} onRetry=${() => {
      setFound(null);
      setTries(tries + 1);
    }} />`;
  if (job)
    return html`<${RunningJob} key=${id} job=${job} audio=${recording} onEnded=${() => {
      setFound(null);
      setTries(tries + 1);
    }} />`;
  const { doc, audio, peaks, notice } = /** @type {import("./load.js").Opened} */ (opened);
  return html`<div class="stack transcript-page">
    <${PageHead} name=${doc.fileName} parts=${describe(doc)} />
    <${TranscriptView} key=${doc.id} doc=${doc} audio=${audio} peaks=${peaks} notice=${notice} />
  </div>`;
}

/** @param {{name: string, parts: string[]}} props */
export function PageHead({ name, parts }) {
  useStore(locale, (state) => state.code);
  return html`<div class="page-head">
    <a class="small back" href="#history"><span aria-hidden="true">←</span> ${t("page.history")}</a>
    <h1 class="break">${name}</h1>
    <p class="soft small num">${parts.join(" · ")}</p>
  </div>`;
}

/** @param {any} doc */
function describe({ createdAt, duration, language, model, task }) {
  const code = locale.get().code;
  const date = new Date(createdAt).toLocaleString(code, { dateStyle: "medium", timeStyle: "short" });
  const spoken = language ? nameLanguage(language) : "";
  return [
    date,
    formatClock(duration),
    spoken,
    model ?? "",
    task === "translate" ? t("transcribe.taskTranslate") : "",
  ].filter(Boolean);
}

/** @param {{text: string, onRetry: () => void}} props */
function Missing({ text, onRetry }) {
  return html`<div class="empty">
    <${Icon} name="file" size=${36} />
    <h1>${t("page.transcript")}</h1>
    <p>${text}</p>
    <div class="row wrap">
      <a class="button" href="#history">${t("page.history")}</a>
      <${Button} icon="retry" onClick=${onRetry}>${t("page.retry")}<//>
    </div>
  </div>`;
}
