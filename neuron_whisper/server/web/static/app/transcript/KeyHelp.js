// The list of the keys of transcript and player, behind the help button.
import { html } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { KEYS } from "../player/keys.js";
import { Dialog } from "../ui/Dialog.js";

/** @param {{onClose: () => void}} props */
export function KeyHelp({ onClose }) {
  return html`<${Dialog} title=${t("player.keys")} onClose=${onClose}>
    <dl class="key-help">
      ${KEYS.map(({ key, does }) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${t(does)}</dd></div>`)}
    </dl>
  <//>`;
}
