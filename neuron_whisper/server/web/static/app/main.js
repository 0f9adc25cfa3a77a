// Starts the page: theme, language, and the frame with its views.
import { html, render } from "../vendor/htm-preact.js";
import { watchAccess } from "./access.js";
import { App } from "./App.js";
import { locale } from "./i18n.js";
import { startTheme } from "./theme.js";
import { watchDrops } from "./transcribe/drops.js";

startTheme();
watchDrops();
watchAccess();
document.documentElement.lang = locale.get().code;
const root = document.getElementById("app");
if (root) render(html`<${App} />`, root);
