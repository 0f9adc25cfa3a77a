// Shows a view: at once when it is here already, else after its modules were loaded; a failure is told, with a retry.
import { html, useEffect, useErrorBoundary, useState } from "../vendor/htm-preact.js";
import { t } from "./i18n.js";
import { Button } from "./ui/Button.js";
import { Icon } from "./ui/icons.js";

/** @type {Map<string, any>} components that were loaded */
const loaded = new Map();

/** @param {{view: import("./views.js").View, id: string}} props */
export function ViewSlot({ view, id }) {
  const [component, setComponent] = useState(() => view.component ?? loaded.get(view.name) ?? null);
  const [problem, setProblem] = useState("");
  const [crash, reset] = useErrorBoundary(reportError);

  const load = async () => {
    setProblem("");
    try {
      const found = await view.load?.();
      loaded.set(view.name, found);
      setComponent(() => found);
    } catch {
      setProblem(t("page.loadFailed"));
    }
  };
  useEffect(() => {
    if (!component) load();
  }, []);

  if (crash) return html`<${Failure} text=${t("page.crashed")} onRetry=${reset} />`;
  if (problem) return html`<${Failure} text=${problem} onRetry=${load} />`;
  if (!component) return html`<p class="loading" aria-busy="true">${t("page.loading")}</p>`;
  const Shown = component;
  return html`<${Shown} id=${id} />`;
}

/** @param {{text: string, onRetry: () => void}} props */
function Failure({ text, onRetry }) {
  return html`<div class="empty" role="alert">
    <${Icon} name="alert" size=${36} />
    <p>${text}</p>
    <${Button} icon="retry" onClick=${onRetry}>${t("page.retry")}<//>
  </div>`;
}
