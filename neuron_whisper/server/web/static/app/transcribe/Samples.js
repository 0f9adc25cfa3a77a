// The server's sample recordings: one click sends one.
import { html, useState } from "../../vendor/htm-preact.js";
import { request } from "../api/client.js";
import { config } from "../config.js";
import { t } from "../i18n.js";
import { Icon } from "../ui/icons.js";
import { nameLanguage } from "../ui/languages.js";
import { showToast } from "../ui/toasts.js";
import { pickSamples, splitName } from "./pickSamples.js";
import { pump } from "./runner.js";
import { addFiles, startItems } from "./store.js";

const MOST_SHOWN = 4;

export function Samples() {
  const [busy, setBusy] = useState("");
  if (!config.samples.length) return null;
  const send = async (/** @type {{name: string, url: string}} */ sample) => {
    setBusy(sample.name);
    try {
      const blob = await (await request(sample.url)).blob();
      await startItems(await addFiles([new File([blob], sample.name, { type: blob.type })]));
      pump();
    } catch (/** @type {any} */ error) {
      showToast(error.message);
    } finally {
      setBusy("");
    }
  };
  return html`<div class="samples">
    <span class="soft small" id="samples-label">${t("transcribe.samples")}</span>
    <div class="row wrap" role="group" aria-labelledby="samples-label">
      ${pickSamples(config.samples, MOST_SHOWN).map(
        (sample) => html`<button key=${sample.name} type="button" class="button round sample"
        disabled=${busy !== ""} aria-busy=${busy === sample.name} title=${sample.name} onClick=${() => send(sample)}>
        <${Icon} name="play" size=${14} /><span class="cut">${toLabel(sample.name)}</span>
      </button>`,
      )}
    </div>
  </div>`;
}

/** "de_talk.ogg" -> "German · talk" @param {string} name */
function toLabel(name) {
  const [code, rest] = splitName(name);
  const title = rest.replaceAll("_", " ");
  return code ? `${nameLanguage(code)} · ${title}` : title;
}
