// Starts the page: theme, language, and the frame with its views.
import { html, render } from "../vendor/htm-preact.js";
import { App } from "./App.js";
import { locale } from "./i18n.js";
import { startTheme } from "./theme.js";

startTheme();
document.documentElement.lang = locale.get().code;
const root = document.getElementById("app");
if (root) render(html`<${App} />`, root);
