// Why a file was not transcribed, and the way to try it again: now, or when the server has room.
import { html } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { Button } from "../ui/Button.js";
import { useNow } from "../ui/hooks.js";
import { Icon } from "../ui/icons.js";
import { askForKey } from "../api/key.js";
import { options } from "./options.js";
import { retry, retryLater } from "./runner.js";

/** Keeps the keyboard at a file whose pressed button goes. @param {any} event */
export const focusCard = (event) => event.currentTarget.closest("li").focus();

/** @param {{item: import("./queue.js").Item}} props */
export function RetryNote({ item }) {
  const { id, error, retries } = item;
  const now = useNow(500, Boolean(error?.retryAt));
  const wait = error?.retryAt ? Math.max(0, Math.ceil((error.retryAt - now) / 1000)) : 0;
  const again = (/** @type {any} */ event) => {
    focusCard(event);
    retry(id, options.get().values);
  };
  const canRetry = item.state === "failed" || item.state === "cancelled";
  return html`<div class="queue-note">
    ${
      error
        ? html`<div class="note bad" role="alert"><${Icon} name="alert" size=${18} /><span class="grow">${error.message}</span></div>`
        : html`<p class="soft small grow">${t("transcribe.cancelled")}</p>`
    }
    ${
      canRetry &&
      html`<div class="row wrap">
      ${error?.status === 401 && html`<${Button} icon="key" onClick=${() => askForKey()}>${t("page.keyEnter")}<//>`}
      <${Button} icon="retry" onClick=${again}>${t("page.retry")}<//>
      ${
        wait > 0 &&
        html`<${Button} icon="clock" pressed=${retries} onClick=${() => retryLater(id, !retries)}>
        <span class="num">${t(retries ? "transcribe.retriesIn" : "transcribe.retryIn", { n: wait })}</span><//>`
      }
    </div>`
    }
  </div>`;
}
