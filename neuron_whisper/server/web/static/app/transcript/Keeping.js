// What this browser keeps of the document: saved or not, room for recordings, and the buttons that delete.
import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { locale, t } from "../i18n.js";
import { loadAudio, removeAudio, removeDocument, storageUse } from "../storage/index.js";
import { Button } from "../ui/Button.js";
import { Dialog } from "../ui/Dialog.js";
import { formatSize } from "../ui/figures.js";

/** @typedef {{used: number, limit: number, count: number, hasQuota: boolean}} Use bytes */

/**
 * @param {{id: string, saving: string, isRemoved: boolean, onRemove: () => Promise<void>, onRemoved: () => void,
 *   onAudioRemoved: () => void}} props
 */
export function Keeping({ id, saving, isRemoved, onRemove, onRemoved, onAudioRemoved }) {
  const [use, setUse] = useState(/** @type {Use | null} */ (null));
  const [hasAudio, setHasAudio] = useState(false);
  const [asked, ask] = useState(/** @type {"" | "all" | "audio"} */ (""));
  const look = () => {
    storageUse().then(setUse, () => setUse(null));
    loadAudio(id).then((audio) => setHasAudio(audio !== null), () => setHasAudio(false));
  };
  useEffect(look, [id]);
  const remove = async () => {
    const kind = asked;
    ask("");
    if (kind === "all") {
      await onRemove();
      await removeDocument(id).catch(() => {});
      onRemoved();
      return;
    }
    await removeAudio(id).catch(() => {});
    onAudioRemoved();
    look();
  };
  const state = isRemoved ? "transcript.removedElsewhere" : `transcript.saving.${saving}`;
  return html`<footer class="keeping">
    <p class="keeping-state" role="status" data-saving=${saving}>${t(state)}</p>
    ${use && html`<p>${t("transcript.audioUse", { used: formatSize(use.used, locale.get().code), limit: formatSize(use.limit, locale.get().code) })}
      ${!use.hasQuota && ` ${t("transcript.noQuota")}`}</p>`}
    ${hasAudio && html`<${Button} icon="trash" onClick=${() => ask("audio")}>${t("transcript.removeAudio")}<//>`}
    <${Button} icon="trash" kind="bad" onClick=${() => ask("all")}>${t("transcript.remove")}<//>
    ${asked && html`<${Dialog} title=${t(asked === "all" ? "transcript.remove" : "transcript.removeAudio")} onClose=${() => ask("")}>
      <p>${t(asked === "all" ? "transcript.removeSure" : "transcript.removeAudioSure")}</p>
      <div class="dialog-actions">
        <${Button} onClick=${() => ask("")}>${t("page.cancel")}<//>
        <${Button} kind="bad" onClick=${remove}>${t("transcript.removeNow")}<//>
      </div><//>`}
  </footer>`;
}
