// The bar above the captions while they run: state, time, level, microphone, pause, stop, large letters.
import { html } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { Button } from "../ui/Button.js";
import { formatClock } from "../ui/figures.js";
import { DeviceField } from "./Fields.js";
import { LevelMeter } from "./LevelMeter.js";
import { changeDevice, pause, resume, stop } from "./session.js";

/** @typedef {import("./session.js").SessionState} SessionState */

/** @param {{session: SessionState, isLarge: boolean, onLarge: () => void}} props */
export function Controls({ session, isLarge, onLarge }) {
  const { phase } = session;
  const isPaused = phase === "paused";
  const isBusy = phase === "starting" || phase === "finishing";
  return html`<div class="live-controls">
    <div class="live-state">
      <${StateBadge} session=${session} />
      <span class="num live-time" role="timer" aria-label=${t("live.elapsed")}>${formatClock(session.seconds)}</span>
      <${LevelMeter} />
    </div>
    <div class="row wrap live-buttons">
      ${phase !== "done" && html`
        <${Button} icon=${isPaused ? "mic" : "pause"} disabled=${isBusy} onClick=${() => (isPaused ? resume() : pause())}>
          ${isPaused ? t("live.resume") : t("live.pause")}
        <//>
        <${Button} icon="stop" kind="primary" disabled=${isBusy} onClick=${stop}>${t("live.stop")}<//>`}
      <${Button} icon=${isLarge ? "close" : "screen"} pressed=${isLarge} onClick=${onLarge}>
        ${isLarge ? t("live.normal") : t("live.large")}
      <//>
    </div>
    ${phase !== "done" && !isLarge && html`<div class="live-device">
      <${DeviceField} value=${session.choices.deviceId} renewal=${session.microphone} onChange=${changeDevice} />
    </div>`}
  </div>`;
}

/** @param {{session: SessionState}} props */
function StateBadge({ session }) {
  const { phase, link } = session;
  const connection = link.connection.phase;
  const isDown = phase === "listening" && connection !== "open";
  const name = isDown ? (connection === "stopped" ? "stopped" : "connecting") : phase;
  const kind = name === "listening" ? "good" : name === "stopped" ? "bad" : "busy";
  return html`<span class=${`badge ${kind} live-badge`} role="status">${t(`live.state.${name}`)}</span>`;
}
