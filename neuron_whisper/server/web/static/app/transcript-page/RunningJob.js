// A job that has not succeeded: how far it is and its text so far, or why it failed.
import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { cancelJob, followJob, getPeaks } from "../api/jobs.js";
import { t } from "../i18n.js";
import { noticeServerGone } from "../ServerNotice.js";
import { estimateLeft, getFraction } from "../transcribe/progress.js";
import { formatClock } from "../ui/figures.js";
import { addSegments, startDocument } from "../transcript/growing.js";
import { TranscriptView } from "../transcript/TranscriptView.js";
import { Button } from "../ui/Button.js";
import { Icon } from "../ui/icons.js";
import { PageHead } from "./TranscriptPage.js";

/** @typedef {import("../api/jobs.js").Job} Job */

/** @param {{job: Job, audio: Blob | null, onEnded: () => void}} props `onEnded`: it succeeded */
export function RunningJob({ job: first, audio, onEnded }) {
  const [job, setJob] = useState(first);
  const [doc, setDoc] = useState(() => startDocument({ fileName: first.file_name, task: first.task }));
  const [peaks, setPeaks] = useState(/** @type {any} */ (null));
  const [problem, setProblem] = useState("");

  useEffect(() => {
    const stop = new AbortController();
    let asksPeaks = true;
    followJob(first.id, {
      signal: stop.signal,
      onJob: (now) => {
        setJob(now);
        const total = now.progress?.total_s ?? 0;
        setDoc((before) => (before.duration < total ? { ...before, duration: total } : before));
        if (asksPeaks && now.progress?.total_s) {
          asksPeaks = false;
          getPeaks(first.id).then(setPeaks);
        }
      },
      onSegments: (segments) => setDoc((before) => addSegments(before, segments)),
      onLost: noticeServerGone,
    })
      .then((ended) => (ended.status === "succeeded" ? onEnded() : setJob(ended)))
      .catch((error) => {
        if (!stop.signal.aborted) setProblem(error.message);
      });
    return () => stop.abort();
  }, []);

  const isRunning = job.status === "queued" || job.status === "running";
  const text = problem || job.error?.message || (job.status === "cancelled" ? t("transcribe.cancelled") : "");
  return html`<div class="stack transcript-page">
    <${PageHead} name=${job.file_name} parts=${[job.model]} />
    ${text && html`<div class="note bad" role="alert"><${Icon} name="alert" size=${18} /><span>${text}</span></div>`}
    ${isRunning && html`<${JobProgress} job=${job} />`}
    ${doc.segments.length > 0 && html`<${TranscriptView} doc=${doc} audio=${audio} peaks=${peaks} live />`}
  </div>`;
}

/** @param {{job: Job}} props */
function JobProgress({ job }) {
  const [startedAt] = useState(Date.now());
  const done = job.progress?.done_s ?? 0;
  const duration = job.progress?.total_s ?? null;
  const [firstDone] = useState(done);
  const fraction = getFraction({ done, duration });
  const elapsed = (Date.now() - startedAt) / 1000;
  const left = estimateLeft({
    done: done - firstDone,
    duration: duration === null ? null : duration - firstDone,
    elapsed,
  });
  const percent = Math.floor((fraction ?? 0) * 100);
  const label =
    job.status === "queued"
      ? t("transcribe.queued")
      : done
        ? t("transcribe.working", { percent })
        : t("transcribe.preparing");
  return html`<div class="card queue-card">
    <div class="row small num">
      <span class="grow">${label}</span>
      ${left !== null && html`<span class="soft">${t("transcribe.left", { time: formatClock(Math.ceil(left)) })}</span>`}
      <${Button} onClick=${() => cancelJob(job.id).catch(() => {})}>${t("page.cancel")}<//>
    </div>
    <div class=${`bar${done ? "" : " unknown"}`} role="progressbar" aria-label=${job.file_name} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${done ? percent : undefined}>
      <span ref=${(/** @type {HTMLElement | null} */ bar) => {
        if (bar) bar.style.transform = done ? `scaleX(${fraction ?? 0})` : "";
      }}></span>
    </div>
  </div>`;
}
