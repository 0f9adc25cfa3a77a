// Says that the browser is offline or that the server does not answer, until it does again.
import { html, useEffect } from "../vendor/htm-preact.js";
import { resolveUrl } from "./config.js";
import { t } from "./i18n.js";
import { createStore, useStore } from "./state.js";
import { Icon } from "./ui/icons.js";

const CHECK_MS = 2000;
const reach = createStore({ isGone: false });

/** To be called when a request got no response: the notice is shown if the server does not answer another either. */
export async function noticeServerGone() {
  if (!(await answers())) reach.set({ isGone: true });
}

/** Whether the server answers anything at all. */
async function answers() {
  try {
    await fetch(resolveUrl("health/live"), { cache: "no-store" });
    return true;
  } catch {
    return false;
  }
}

export function ServerNotice() {
  const isGone = useStore(reach, (state) => state.isGone);
  useEffect(() => {
    const goes = () => reach.set({ isGone: true });
    globalThis.addEventListener("offline", goes);
    return () => globalThis.removeEventListener("offline", goes);
  }, []);
  useEffect(() => {
    if (!isGone) return undefined;
    const check = async () => {
      if (await answers()) reach.set({ isGone: false });
    };
    const timer = setInterval(check, CHECK_MS);
    globalThis.addEventListener("online", check);
    return () => {
      clearInterval(timer);
      globalThis.removeEventListener("online", check);
    };
  }, [isGone]);
  if (!isGone) return null;
  return html`<div class="note warn server-notice" role="alert">
    <${Icon} name="offline" /><span>${navigator.onLine ? t("error.serverGone") : t("error.offline")}</span>
  </div>`;
}
