// What is in the way: no microphone, a lost or refused connection; what is done about it and what the reader can do.
import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { askForKey } from "../api/key.js";
import { t } from "../i18n.js";
import { Button } from "../ui/Button.js";
import { Icon } from "../ui/icons.js";
import { MAX_TRIES } from "./connection.js";
import { findObstacle } from "./microphone.js";
import { giveUp, retry } from "./session.js";

/** @param {{session: import("./session.js").SessionState}} props */
export function MicrophoneNotice({ session }) {
  const code = session.micProblem || (session.phase === "off" ? findObstacle() : "");
  return html`<div class="live-notices" role="alert">
    ${code && html`<${Note} kind="bad" icon="mic">${t(`live.mic.${code}`)}<//>`}
  </div>`;
}

/** @param {{session: import("./session.js").SessionState}} props */
export function LinkNotices({ session }) {
  const { complaint, connection } = session.link;
  return html`<div class="live-notices">
    <${ConnectionNotice} session=${session} />
    ${complaint && !connection.problem && html`<${Note} kind="warn" icon="alert">${complaint}<//>`}
  </div>`;
}

/** @param {{session: import("./session.js").SessionState}} props */
function ConnectionNotice({ session }) {
  const { connection, behind } = session.link;
  const { problem, phase, tries } = connection;
  const isTrying = phase === "connecting" && tries > 0;
  const text = problem ? describe(problem) : "";
  const [seconds, setSeconds] = useState(0);
  useEffect(() => {
    const tick = () => setSeconds(Math.max(0, Math.ceil((connection.retryAt - Date.now()) / 1000)));
    tick();
    const timer = phase === "waiting" ? setInterval(tick, 500) : undefined;
    return () => clearInterval(timer);
  }, [phase, connection.retryAt]);

  if (!problem) {
    return html`<div role="status">${behind > 4 && html`<${Note} icon="clock">${t("live.behind", { n: behind })}<//>`}</div>`;
  }
  const isKey = problem.code === "key_wrong" || problem.code === "key_missing";
  return html`<div class=${`note live-connection ${phase === "stopped" ? "bad" : "warn"}`}>
    <${Icon} name="offline" />
    <div class="grow stack live-tight">
      <p role=${phase === "stopped" ? "alert" : "status"}>${text}${problem.message && html` <span class="small">(${problem.message})</span>`}</p>
      <p class="small num">
        ${phase === "stopped" ? t("live.stopped") : isTrying ? t("live.trying", { n: tries, of: MAX_TRIES }) : t("live.waiting", { s: seconds, n: tries, of: MAX_TRIES })}
        ${" "}${session.phase === "finishing" ? "" : t("live.kept")}
      </p>
      <div class="row wrap">
        ${isKey && html`<${Button} icon="key" onClick=${() => askForKey(problem.code === "key_wrong" ? "wrong" : "missing")}>${t("page.keyEnter")}<//>`}
        <${Button} icon="retry" disabled=${isTrying} onClick=${retry}>${t("live.tryNow")}<//>
        ${session.phase === "finishing" && html`<${Button} onClick=${giveUp}>${t("live.giveUp")}<//>`}
      </div>
    </div>
  </div>`;
}

/** @param {import("./connection.js").Problem} problem */
function describe({ code }) {
  return t(`live.problem.${code}`);
}

/** @param {{kind?: string, icon: string, children?: unknown}} props */
function Note({ kind = "", icon, children }) {
  return html`<div class=${`note ${kind}`}><${Icon} name=${icon} /><span class="grow">${children}</span></div>`;
}
