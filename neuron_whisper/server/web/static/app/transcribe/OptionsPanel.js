// What the next files are transcribed with: model, language, task, prompt, word times, further fields of the server.
import { html, useState } from "../../vendor/htm-preact.js";
import { schema } from "../api/schema.js";
import { config } from "../config.js";
import { locale, t } from "../i18n.js";
import { useStore } from "../state.js";
import { Check, describeField, Field, SelectField } from "../ui/Field.js";
import { useMedia } from "../ui/hooks.js";
import { nameLanguage } from "../ui/languages.js";
import { ExtraField, MAIN_EXTRAS, MORE_EXTRAS } from "./extras.js";
import { chooseExtra, chooseOptions, options } from "./options.js";

export function OptionsPanel() {
  const isWide = useMedia("(min-width: 60rem)");
  const [isOpen, setOpen] = useState(false);
  const problems = useStore(options, (state) => state.problems);
  const hasProblem = Object.keys(problems).length > 0;
  if (isWide) {
    return html`<section class="card stack options" aria-labelledby="options-title"><h2 id="options-title">${t("transcribe.options")}</h2><${Fields} /></section>`;
  }
  return html`<details class="card disclosure options" open=${isOpen || hasProblem}
    onToggle=${(/** @type {any} */ event) => setOpen(event.target.open)}>
    <summary><h2>${t("transcribe.options")}</h2><${Summary} /></summary>
    <div class="stack"><${Fields} /></div>
  </details>`;
}

function Summary() {
  const { model, language, task } = useStore(options, (state) => state.values);
  const parts = [model || config.model, language ? nameLanguage(language) : t("transcribe.detect")];
  if (task === "translate") parts.push(t("transcribe.taskTranslate"));
  return html`<span class="soft small cut">${parts.join(" · ")}</span>`;
}

function Fields() {
  const { values, problems, models } = useStore(options, (state) => state);
  const known = useStore(schema, (state) => state.fields);
  const main = MAIN_EXTRAS.filter((name) => known.has(name));
  const more = MORE_EXTRAS.filter((name) => known.has(name));
  const hasMoreProblem = more.some((name) => problems[name]);
  const field = (/** @type {string} */ name) => {
    const declared = /** @type {import("../api/schema.js").FormField} */ (known.get(name));
    return html`<${ExtraField} key=${name} name=${name} field=${declared} value=${values.extra[declared.name] ?? ""}
      error=${problems[name]} onChange=${(/** @type {string} */ value) => chooseExtra(declared.name, value)} />`;
  };
  return html`
    <${ModelField} models=${models} value=${values.model} error=${problems.model} />
    <${SelectField} id="language" label=${t("transcribe.language")} value=${values.language} error=${problems.language ?? problems.languages}
      options=${[{ value: "", label: t("transcribe.detect") }, ...listLanguages()]}
      onChange=${(/** @type {string} */ language) => chooseOptions({ language })} />
    <${SelectField} id="task" label=${t("transcribe.task")} value=${values.task} error=${problems.task}
      options=${[
        { value: "transcribe", label: t("transcribe.taskTranscribe") },
        { value: "translate", label: t("transcribe.taskTranslate") },
      ]}
      onChange=${(/** @type {any} */ task) => chooseOptions({ task })} />
    <${Field} id="prompt" label=${t("transcribe.prompt")} hint=${t("transcribe.promptHint")} error=${problems.prompt}>
      <textarea class="input" rows="2" value=${values.prompt} ...${describeField("prompt", t("transcribe.promptHint"), problems.prompt)}
        onInput=${(/** @type {any} */ event) => chooseOptions({ prompt: event.target.value })}></textarea>
    <//>
    <${Check} label=${t("transcribe.words")} checked=${values.words} onChange=${(/** @type {boolean} */ words) => chooseOptions({ words })} />
    ${main.map(field)}
    ${
      more.length > 0 &&
      html`<details class="disclosure more" open=${hasMoreProblem || undefined}>
      <summary>${t("transcribe.more")}</summary>
      <div class="stack more-fields">${more.map(field)}</div>
    </details>`
    }`;
}

/** @param {{models: import("./options.js").Model[], value: string, error?: string}} props */
function ModelField({ models, value, error }) {
  const chosen = models.find((model) => (value ? model.id === value : model.default));
  const shown = models.length
    ? models.map((model) => ({
        value: model.id,
        label: model.state === "loaded" ? model.id : `${model.id} (${nameState(model)})`,
      }))
    : [{ value: "", label: config.model }];
  const hint = chosen && chosen.state !== "loaded" && chosen.available ? t("transcribe.modelLoads") : undefined;
  return html`<${SelectField} id="model" label=${t("transcribe.model")} value=${chosen?.id ?? value} options=${shown} hint=${hint} error=${error}
    onChange=${(/** @type {string} */ model) => chooseOptions({ model })} />`;
}

/** @param {import("./options.js").Model} model */
function nameState({ state, available }) {
  return t(available ? `transcribe.state.${state}` : "transcribe.state.unavailable");
}

/** @returns {{value: string, label: string}[]} by their names in the page's language */
function listLanguages() {
  return config.languages
    .map(({ code }) => ({ value: code, label: nameLanguage(code) }))
    .sort((one, other) => one.label.localeCompare(other.label, locale.get().code));
}
