// Takes files: dropped or pasted, chosen, recorded, or one of the server's samples.
import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { config } from "../config.js";
import { locale, t } from "../i18n.js";
import { useStore } from "../state.js";
import { Button } from "../ui/Button.js";
import { Icon } from "../ui/icons.js";
import { drops } from "./drops.js";
import { Recorder } from "./Recorder.js";
import { formatLimit, formatSize } from "../ui/figures.js";
import { Samples } from "./Samples.js";
import { addFiles, queue } from "./store.js";

const ACCEPT = "audio/*,video/*,.flac,.opus,.ogg,.mka,.mkv,.m4b,.amr,.wma,.aac,.caf";

export function DropZone() {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const zone = useRef(/** @type {HTMLElement | null} */ (null));
  const [records, setRecords] = useState(false);
  const hasRecorded = useRef(false);
  const isOver = useStore(drops, (state) => state.isOver);
  const hasItems = useStore(queue, (state) => state.items.length > 0);

  const choose = (/** @type {any} */ event) => {
    addFiles(event.target.files);
    event.target.value = ""; // the same file can be chosen again
  };
  useEffect(() => {
    if (!records && hasRecorded.current) zone.current?.focus(); // the recorder's buttons are gone
    hasRecorded.current = records;
  }, [records]);
  if (records) return html`<${Recorder} onClose=${() => setRecords(false)} />`;
  return html`<section class=${`drop${isOver ? " over" : ""}${hasItems ? " compact" : ""}`} ref=${zone} tabindex="-1" aria-label=${t("transcribe.add")}>
    <div class="drop-icon"><${Icon} name="upload" size=${26} /></div>
    <p class="drop-title">${isOver ? t("transcribe.dropNow") : t("transcribe.drop")}</p>
    <p class="soft small">${t("transcribe.formats")} · ${describeLimits()}</p>
    <p class="soft small">${t("page.privacy")}</p>
    <div class="row wrap drop-buttons">
      <${Button} kind="primary" icon="plus" onClick=${() => input.current?.click()}>${t("transcribe.choose")}<//>
      <${Button} icon="mic" onClick=${() => setRecords(true)}>${t("transcribe.record")}<//>
    </div>
    <input class="hidden-text" type="file" multiple accept=${ACCEPT} ref=${input} tabindex="-1" aria-hidden="true" onChange=${choose} />
    <${Samples} />
  </section>`;
}

function describeLimits() {
  const { hasJobs, maxUploadBytes, maxAudioSeconds, jobsMaxUploadBytes, jobsMaxAudioSeconds } = config;
  const bytes = hasJobs ? Math.max(maxUploadBytes, jobsMaxUploadBytes) : maxUploadBytes;
  const seconds = hasJobs ? Math.max(maxAudioSeconds, jobsMaxAudioSeconds) : maxAudioSeconds;
  return t("transcribe.limits", {
    size: formatSize(bytes, locale.get().code),
    length: formatLimit(seconds, locale.get().code),
  });
}
