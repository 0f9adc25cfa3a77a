// The frame of the page: header with tabs, the view of the address, footer, dialog of the key, messages.
import { html, useEffect, useRef } from "../vendor/htm-preact.js";
import { apiKey } from "./api/key.js";
import { config } from "./config.js";
import { Header } from "./Header.js";
import { locale, t } from "./i18n.js";
import { KeyDialog } from "./KeyDialog.js";
import { route } from "./router.js";
import { useStore } from "./state.js";
import { ServerNotice } from "./ServerNotice.js";
import { Toasts } from "./ui/toasts.js";
import { findView } from "./views.js";
import { ViewSlot } from "./ViewSlot.js";

export function App() {
  const code = useStore(locale, (state) => state.code);
  const { view, id } = useStore(route, (state) => state);
  const asksForKey = useStore(apiKey, (state) => state.asks);
  const shown = findView(view);
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  const isFirst = useRef(true);

  useEffect(() => {
    document.title = `${t(shown.title)} – neuron-whisper`;
    if (!isFirst.current) main.current?.focus({ preventScroll: true });
    isFirst.current = false;
  }, [shown, id, code]);

  return html`
    <a class="skip" href="#main" onClick=${(/** @type {Event} */ event) => {
      event.preventDefault();
      main.current?.focus();
    }}>
      ${t("page.skip")}
    </a>
    <${Header} view=${shown.name} />
    <main class="main" id="main" ref=${main} tabindex="-1" key=${code}>
      <${ServerNotice} />
      <${ViewSlot} key=${shown.name} view=${shown} id=${id} />
    </main>
    <footer class="foot">
      <span><a href="schema/openapi.json">${t("page.api")}</a></span>
      ${config.version && html`<span class="num">neuron-whisper ${config.version}</span>`}
    </footer>
    ${asksForKey && html`<${KeyDialog} />`}
    <${Toasts} />`;
}
