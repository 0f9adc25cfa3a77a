// The transcript of the file that is being worked on, as far as it is there.
import { html, useEffect, useMemo, useState } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { useStore } from "../state.js";
import { isActive } from "./queue.js";
import { queue } from "./store.js";

export function GrowingTranscript() {
  const item = useStore(queue, (state) => state.items.find((one) => isActive(one) && one.segments.length > 0));
  const [parts, setParts] = useState(/** @type {any} */ (null));
  useEffect(() => {
    if (!item || parts) return;
    Promise.all([import("../transcript/index.js"), import("../transcript/growing.js")])
      .then(([view, growing]) => setParts({ ...view, ...growing }))
      .catch(() => {}); // the plain text is shown
  }, [item, parts]);
  if (!item) return null;
  return html`<section class="stack" aria-label=${t("transcribe.soFar", { name: item.name })}>
    <h2 class="cut">${t("transcribe.soFar", { name: item.name })}</h2>
    ${
      parts
        ? html`<${Growing} key=${item.id} item=${item} parts=${parts} />`
        : html`<p class="card growing-plain">${item.segments
            .map((segment) => segment.text)
            .join("")
            .trim()}</p>`
    }
  </section>`;
}

/** @param {{item: import("./queue.js").Item, parts: any}} props */
function Growing({ item, parts }) {
  const start = useMemo(
    () => parts.startDocument({ fileName: item.name, task: item.options?.task, duration: item.duration ?? 0 }),
    [],
  );
  const doc = useMemo(() => parts.addSegments(start, item.segments), [item.segments]);
  return html`<${parts.TranscriptView} doc=${doc} audio=${item.file} peaks=${item.peaks} live />`;
}
