// The choices before the captions begin: microphone, language, model, prompt; and the microphone while they run.
import { html, useEffect } from "../../vendor/htm-preact.js";
import { apiKey } from "../api/key.js";
import { config } from "../config.js";
import { t } from "../i18n.js";
import { useStore } from "../state.js";
import { SelectField, TextField } from "../ui/Field.js";
import { nameLanguage } from "../ui/languages.js";
import { choices, choose, listModels } from "./choices.js";
import { useDevices } from "./useDevices.js";

/** @param {{models: string[], onModels: (models: string[]) => void}} props `models`: none before they are known */
export function Fields({ models, onModels }) {
  const { model, language, prompt } = useStore(choices, (state) => state);
  const key = useStore(apiKey, (state) => state.value);
  useEffect(() => void listModels().then(onModels), [key]);
  const names = models.length ? models : [config.model];
  const languages = listLanguages();
  return html`<div class="live-fields">
    <${DeviceField} value=${useStore(choices, (state) => state.deviceId)} onChange=${(/** @type {string} */ deviceId) => choose({ deviceId })} />
    <${SelectField} id="live-language" label=${t("live.language")} value=${knownOr(language, languages.map(({ value }) => value)) || languages[0]?.value}
      options=${languages} onChange=${(/** @type {string} */ value) => choose({ language: value })} />
    <${SelectField} id="live-model" label=${t("live.model")} value=${knownOr(model, names) || names[0]}
      options=${names.map((name) => ({ value: name, label: name }))}
      onChange=${(/** @type {string} */ value) => choose({ model: value === names[0] ? "" : value })} />
    <${TextField} id="live-prompt" label=${t("live.prompt")} value=${prompt} placeholder=${t("live.promptHint")} maxlength="2000"
      onInput=${(/** @type {string} */ value) => choose({ prompt: value })} />
  </div>`;
}

/** @param {{value: string, renewal?: unknown, onChange: (deviceId: string) => void}} props */
export function DeviceField({ value, renewal, onChange }) {
  const devices = useDevices(renewal);
  const options = devices
    .filter(({ id }) => id !== "default")
    .map(({ id, label }, index) => ({ value: id, label: label || t("live.deviceNumber", { n: index + 1 }) }));
  const known = options.some((option) => option.value === value) ? value : "";
  return html`<${SelectField} id="live-device" label=${t("live.device")} value=${known} onChange=${onChange}
    options=${[{ value: "", label: t("live.deviceDefault") }, ...options]} />`;
}

function listLanguages() {
  const languages = config.languages
    .map(({ code }) => ({ value: code, label: nameLanguage(code) }))
    .sort((one, other) => one.label.localeCompare(other.label));
  return languages.length === 1 ? languages : [{ value: "", label: t("live.detect") }, ...languages];
}

/** @param {string} value @param {string[]} known */
function knownOr(value, known) {
  return known.includes(value) ? value : "";
}
