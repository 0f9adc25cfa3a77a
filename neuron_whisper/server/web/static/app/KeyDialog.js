// The dialog that asks for the API key, and says where it is kept.
import { html, useState } from "../vendor/htm-preact.js";
import { requestJson } from "./api/client.js";
import { apiKey, setKey } from "./api/key.js";
import { t } from "./i18n.js";
import { useStore } from "./state.js";
import { Button } from "./ui/Button.js";
import { Dialog } from "./ui/Dialog.js";
import { Check, TextField } from "./ui/Field.js";
import { showToast } from "./ui/toasts.js";

export function KeyDialog() {
  const { value, isKept, problem } = useStore(apiKey, (state) => state);
  const [typed, setTyped] = useState(value);
  const [keeps, setKeeps] = useState(isKept);
  const [error, setError] = useState(problem === "wrong" ? t("page.keyWrong") : "");
  const [isBusy, setBusy] = useState(false);
  const close = () => apiKey.set({ asks: false, problem: "" });

  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const key = typed.trim();
    if (!key) return setError(t("page.keyMissing"));
    if (!/^[\x21-\x7e]+$/.test(key)) return setError(t("page.keyWrong")); // no header takes it
    setBusy(true);
    try {
      await requestJson("v1/models", { quiet: true, headers: { authorization: `Bearer ${key}` } });
      setKey(key, keeps);
      showToast(t("page.keyAccepted"));
    } catch (/** @type {any} */ failure) {
      setError(failure.status === 401 ? t("page.keyWrong") : failure.message);
    } finally {
      setBusy(false);
    }
  };

  return html`<${Dialog} title=${t("page.key")} onClose=${close}>
    <form class="stack" onSubmit=${submit} novalidate>
      <p class="soft">${t("page.keyWanted")}</p>
      <${TextField} id="api-key" type="password" label=${t("page.key")} value=${typed} error=${error} spellcheck=${false}
        autofocus onInput=${(/** @type {string} */ text) => {
          setTyped(text);
          setError("");
        }} />
      <${Check} label=${t("page.keyKeep")} checked=${keeps} onChange=${setKeeps} />
      <div class="dialog-actions">
        ${value && html`<${Button} kind="plain" onClick=${() => setKey("", false)}>${t("page.keyForget")}<//>`}
        <${Button} type="submit" kind="primary" disabled=${isBusy}>${t("page.keyUse")}<//>
      </div>
    </form>
  <//>`;
}
