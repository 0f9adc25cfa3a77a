// The files of this visit, and the button that sends those that are ready.
import { html, useRef } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { useStore } from "../state.js";
import { Button } from "../ui/Button.js";
import { hasEnded } from "./queue.js";
import { QueueCard } from "./QueueCard.js";
import { pump } from "./runner.js";
import { dispatch, queue, startItems } from "./store.js";

export function QueueList() {
  const items = useStore(queue, (state) => state.items);
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  if (!items.length) return null;
  const ready = items.filter((item) => item.state === "ready" && !item.error).length;
  const ended = items.filter(hasEnded).length;
  const clear = () => {
    heading.current?.focus();
    dispatch({ type: "clear" });
  };
  const start = async () => {
    heading.current?.focus(); // the button goes
    await startItems();
    pump();
  };
  return html`<section class="stack" aria-labelledby="queue-title">
    <div class="row wrap queue-head">
      <h2 id="queue-title" class="grow" ref=${heading} tabindex="-1">${t("transcribe.files")}</h2>
      ${ended > 1 && html`<${Button} kind="plain" onClick=${clear}>${t("transcribe.clear")}<//>`}
      ${
        ready > 0 &&
        html`<${Button} kind="primary" onClick=${start}>
        ${ready === 1 ? t("transcribe.start") : t("transcribe.startSeveral", { n: ready })}<//>`
      }
    </div>
    <ul class="queue">${items.map((item) => html`<${QueueCard} key=${item.id} item=${item} />`)}</ul>
  </section>`;
}
