// The header: name, tabs, and the choices of key, theme and language.
import { html, useEffect } from "../vendor/htm-preact.js";
import { apiKey, askForKey } from "./api/key.js";
import { config } from "./config.js";
import { chooseLocale, locale, t } from "./i18n.js";
import { toHash } from "./router.js";
import { useStore } from "./state.js";
import { LOCALES } from "./strings.js";
import { chooseTheme, theme } from "./theme.js";
import { Button } from "./ui/Button.js";
import { Icon } from "./ui/icons.js";
import { hiddenViews, VIEWS } from "./views.js";

/** @type {Record<string, string>} each language by its own name */
const LOCALE_NAMES = { en: "English", ja: "日本語", de: "Deutsch", ko: "한국어", zh: "中文" };
/** @type {("system" | "light" | "dark")[]} */
const THEMES = ["system", "light", "dark"];
const THEME_ICONS = { system: "screen", light: "sun", dark: "moon" };

/** @param {{view: string}} props name of the view that is shown */
export function Header({ view }) {
  const hidden = useStore(hiddenViews, (state) => state.names);
  const current = view === "transcript" ? "history" : view;
  useEffect(() => {
    document.querySelector('.tabs [aria-current="page"]')?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [view]);
  return html`<header class="top">
    <div class="top-inner">
      <a class="brand" href="#transcribe"><${Icon} name="logo" size=${24} /><span>neuron-whisper</span></a>
      <nav class="tabs" aria-label=${t("page.views")}>
        ${VIEWS.filter((item) => item.isTab && !hidden.includes(item.name)).map(
          (item) => html`
          <a key=${item.name} href=${toHash(item.name)} aria-current=${item.name === current ? "page" : undefined}>${t(item.title)}</a>`,
        )}
      </nav>
      <div class="tools">
        <${KeyButton} />
        <${ThemeButton} />
        <${LocaleSelect} />
      </div>
    </div>
  </header>`;
}

function KeyButton() {
  const hasKey = useStore(apiKey, (state) => state.value !== "");
  if (!config.hasKeys && !hasKey) return null;
  return html`<${Button} icon="key" kind="plain" label=${hasKey ? t("page.keyChange") : t("page.keyEnter")} onClick=${() => askForKey()} />`;
}

function ThemeButton() {
  const choice = useStore(theme, (state) => state.choice);
  const next = THEMES[(THEMES.indexOf(choice) + 1) % THEMES.length];
  return html`<${Button} icon=${THEME_ICONS[choice]} kind="plain" label=${`${t("page.theme")}: ${t(`page.theme.${choice}`)}`}
    onClick=${() => chooseTheme(next)} />`;
}

function LocaleSelect() {
  const code = useStore(locale, (state) => state.code);
  return html`<select class="select bare" aria-label=${t("page.language")} value=${code}
    onChange=${(/** @type {any} */ event) => chooseLocale(event.target.value)}>
    ${LOCALES.map((other) => html`<option key=${other} value=${other} lang=${other} selected=${other === code}>${LOCALE_NAMES[other]}</option>`)}
  </select>`;
}
