// Undo and redo, find, the threshold of unsure words, and the exports.
import { html } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { Button } from "../ui/Button.js";
import { Exports } from "./Exports.js";

/**
 * @param {{history: import("./edits.js").History, document: () => import("./types.js").TranscriptDocument,
 *   undo: () => void, redo: () => void,
 *   onFind: () => void, threshold: number, setThreshold: (value: number) => void}} props
 */
export function Toolbar({ history, document: current, undo, redo, onFind, threshold, setThreshold }) {
  const percent = Math.round(threshold * 100);
  const hasProbability = history.document.segments.some(({ words }) => words[0]?.probability !== undefined);
  return html`<div class="transcript-tools" role="group" aria-label=${t("transcript.tools")}>
    <${Button} icon="undo" label=${t("transcript.undo")} disabled=${!history.past.length} onClick=${undo} />
    <${Button} icon="redo" label=${t("transcript.redo")} disabled=${!history.future.length} onClick=${redo} />
    <${Button} icon="search" onClick=${onFind}>${t("transcript.find")}<//>
    ${hasProbability && html`<label class="threshold">${t("transcript.threshold", { percent })}
      <input type="range" min="0" max="100" step="5" value=${percent}
        onInput=${(/** @type {any} */ event) => setThreshold(Number(event.target.value) / 100)} /></label>`}
    <${Exports} document=${current} />
  </div>`;
}
