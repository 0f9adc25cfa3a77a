// The first view: files in, transcripts out.
import { html, useEffect } from "../../vendor/htm-preact.js";
import { apiKey } from "../api/key.js";
import { readSchema } from "../api/schema.js";
import { t } from "../i18n.js";
import { useStore } from "../state.js";
import { DropZone } from "./DropZone.js";
import { GrowingTranscript } from "./GrowingTranscript.js";
import { readModels } from "./options.js";
import { OptionsPanel } from "./OptionsPanel.js";
import { QueueList } from "./QueueList.js";

export function TranscribeView() {
  const key = useStore(apiKey, (state) => state.value);
  useEffect(() => {
    readModels();
    readSchema();
  }, [key]);
  return html`<div class="transcribe">
    <h1 class="hidden-text">${t("page.transcribe")}</h1>
    <div class="transcribe-files"><${DropZone} /></div>
    <div class="transcribe-options"><${OptionsPanel} /></div>
    <div class="transcribe-queue stack"><${QueueList} /><${GrowingTranscript} /></div>
  </div>`;
}
