// Takes files: dropped anywhere on the page, pasted, chosen, recorded, or one of the server's samples.
import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { config } from "../config.js";
import { locale, t } from "../i18n.js";
import { useStore } from "../state.js";
import { Button } from "../ui/Button.js";
import { Icon } from "../ui/icons.js";
import { Recorder } from "./Recorder.js";
import { formatLimit, formatSize } from "./progress.js";
import { Samples } from "./Samples.js";
import { addFiles, queue } from "./store.js";

const ACCEPT = "audio/*,video/*,.flac,.opus,.ogg,.mka,.mkv,.m4b,.amr,.wma,.aac,.caf";

export function DropZone() {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [records, setRecords] = useState(false);
  const isOver = useDroppedFiles(records);
  const hasItems = useStore(queue, (state) => state.items.length > 0);

  const choose = (/** @type {any} */ event) => {
    addFiles(event.target.files);
    event.target.value = ""; // the same file can be chosen again
  };
  if (records) return html`<${Recorder} onClose=${() => setRecords(false)} />`;
  return html`<section class=${`drop${isOver ? " over" : ""}${hasItems ? " compact" : ""}`} aria-label=${t("transcribe.add")}>
    <div class="drop-icon"><${Icon} name="upload" size=${26} /></div>
    <p class="drop-title">${isOver ? t("transcribe.dropNow") : t("transcribe.drop")}</p>
    <p class="soft small">${t("transcribe.formats")} · ${describeLimits()}</p>
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

/**
 * Adds files that are dropped or pasted anywhere on the page; true while some are dragged over it.
 * @param {boolean} isOff
 */
function useDroppedFiles(isOff) {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    if (isOff) return undefined;
    let depth = 0;
    const hasFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
    /** @type {Record<string, (event: any) => void>} */
    const listeners = {
      dragenter: (event) => {
        if (hasFiles(event)) {
          depth += 1;
          setOver(true);
        }
      },
      dragleave: (event) => {
        if (hasFiles(event)) {
          depth = Math.max(0, depth - 1);
          setOver(depth > 0);
        }
      },
      dragover: (event) => {
        if (hasFiles(event)) event.preventDefault();
      },
      drop: (event) => {
        if (!hasFiles(event)) return;
        event.preventDefault();
        depth = 0;
        setOver(false);
        addFiles(event.dataTransfer.files);
      },
      paste: (event) => {
        if (event.clipboardData?.files.length) addFiles(event.clipboardData.files);
      },
    };
    for (const [name, listener] of Object.entries(listeners)) document.addEventListener(name, listener);
    return () => {
      for (const [name, listener] of Object.entries(listeners)) document.removeEventListener(name, listener);
    };
  }, [isOff]);
  return isOver;
}
