// The speakers of a document in their colours; a name given here changes in all segments.
import { html } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { renameSpeaker } from "./edits.js";
import { colourOf } from "./speakerNames.js";

/** @typedef {import("./session.js").Session} Session */

/** @param {{ids: string[], speakers: Readonly<Record<string, string>>, session: Session | null}} props */
export function Speakers({ ids, speakers, session }) {
  if (!ids.length) return null;
  const rename = (/** @type {string} */ id, /** @type {string} */ name) =>
    session?.change((history) => renameSpeaker(history, id, name));
  return html`<fieldset class="speakers" disabled=${!session}>
    <legend>${t("transcript.speakers")}</legend>
    ${ids.map((id) => html`<label key=${id} class=${`speaker ${colourOf(ids, id)}`}>
      <span class="hidden-text">${t("transcript.renameSpeaker", { id })}</span>
      <input class="input" type="text" autocomplete="off" value=${speakers[id] ?? ""} placeholder=${id}
        onInput=${(/** @type {any} */ event) => rename(id, event.target.value)} />
    </label>`)}
  </fieldset>`;
}
