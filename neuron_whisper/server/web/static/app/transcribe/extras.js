// Further fields of the form: shown only where the server's OpenAPI document lists them, by their declared kind.
import { html } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { SelectField, TextField } from "../ui/Field.js";

/** Shown beside the main ones where the server has them. */
export const MAIN_EXTRAS = ["speakers", "diarize", "num_speakers", "min_speakers", "max_speakers", "adapter"];
/** Behind "more options". */
export const MORE_EXTRAS = [
  "hotwords",
  "temperature",
  "beam_size",
  "best_of",
  "vad_filter",
  "condition_on_previous_text",
  "multilingual",
  "audio_track",
  "clip_timestamps",
  "chinese_script",
];

/**
 * @param {{name: string, field: import("../api/schema.js").FormField, value: string, error?: string,
 *   onChange: (value: string) => void}} props
 */
export function ExtraField({ name, field, value, error, onChange }) {
  const shared = { id: `option-${name}`, label: t(`transcribe.option.${name}`), value, error };
  if (field.kind === "boolean") {
    const choices = [
      ["", "transcribe.asServer"],
      ["true", "transcribe.on"],
      ["false", "transcribe.off"],
    ];
    return html`<${SelectField} ...${shared} options=${choices.map(([choice, key]) => ({ value: choice, label: t(key) }))} onChange=${onChange} />`;
  }
  if (field.kind === "choice") {
    const choices = [
      { value: "", label: t("transcribe.asServer") },
      ...(field.choices ?? []).map((choice) => ({ value: choice, label: choice })),
    ];
    return html`<${SelectField} ...${shared} options=${choices} onChange=${onChange} />`;
  }
  const isNumber = field.kind === "integer" || field.kind === "number";
  const { minimum, maximum } = field;
  const hasRange = isNumber && minimum !== undefined && maximum !== undefined;
  return html`<${TextField} ...${shared} hint=${hasRange ? t("transcribe.range", { from: minimum, to: maximum }) : undefined}
    inputmode=${isNumber ? "decimal" : undefined} placeholder=${isNumber ? t("transcribe.asServer") : undefined} onInput=${onChange} />`;
}
