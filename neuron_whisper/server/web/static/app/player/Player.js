// The controls of the player: play, skip, time, speed, waveform.
import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { useStore } from "../state.js";
import { Button } from "../ui/Button.js";
import { formatClock } from "../ui/figures.js";
import { RATES } from "./playback.js";

export const SKIP_S = 5;

/**
 * @param {{playback: import("./playback.js").Playback, peaks: import("../transcript/types.js").Peaks | null,
 *   duration: number, skipped: readonly import("../transcript/types.js").Skipped[],
 *   describe: (region: import("../transcript/types.js").Skipped) => string, children?: unknown}} props
 *   `children`: further controls at the end of the row
 */
export function Player({ playback, peaks, duration, skipped, describe, children }) {
  const { isPlaying, rate, hasAudio, isBroken } = useStore(playback.store, (state) => state);
  return html`<section class="player" aria-label=${t("player.player")}>
    ${peaks && peaks.peaks.length > 0 && html`<${LazyWaveform} ...${{ playback, peaks, duration, skipped, describe }} />`}
    ${hasAudio && html`<div class="player-row">
      <${Button} icon=${isPlaying ? "pause" : "play"} kind="primary round" label=${t(isPlaying ? "player.pause" : "player.play")}
        onClick=${() => playback.toggle()} />
      <${Button} label=${t("player.back", { n: SKIP_S })} onClick=${() => playback.seek(playback.media.currentTime - SKIP_S)}>
        <span aria-hidden="true">−${SKIP_S}</span><//>
      <${Button} label=${t("player.forward", { n: SKIP_S })} onClick=${() => playback.seek(playback.media.currentTime + SKIP_S)}>
        <span aria-hidden="true">+${SKIP_S}</span><//>
      <${TimeSlider} playback=${playback} />
      <label class="player-rate"><span class="hidden-text">${t("player.rate")}</span>
        <select class="select" value=${String(rate)} onChange=${(/** @type {any} */ event) => playback.setRate(Number(event.target.value))}>
          ${RATES.map((it) => html`<option key=${it} value=${String(it)} selected=${it === rate}>${it}×</option>`)}
        </select></label>
      ${children}
    </div>`}
    ${isBroken && html`<p class="player-notice" role="alert">${t("player.broken")}</p>`}
    ${!hasAudio && html`<p class="player-notice">${t("player.noAudio")}</p>`}
  </section>`;
}

/**
 * The waveform once its library is there: text and controls do not wait for it.
 * @param {Record<string, unknown>} props
 */
function LazyWaveform(props) {
  const [loaded, setLoaded] = useState(/** @type {{Waveform: unknown} | null} */ (null));
  useEffect(() => {
    import("./waveform.js").then(setLoaded, () => {}); // without it there are still controls
  }, []);
  return html`<div class="player-wave">${loaded && html`<${loaded.Waveform} ...${props} />`}</div>`;
}

/** @param {{playback: import("./playback.js").Playback}} props */
function TimeSlider({ playback }) {
  const { time, duration } = useStore(playback.store, (state) => state);
  const slider = useRef(/** @type {HTMLInputElement | null} */ (null));
  // set by hand: a value that is rendered would jump back under the pointer
  useEffect(() => {
    if (slider.current && !slider.current.matches(":active")) slider.current.value = String(time);
  }, [time]);
  return html`<div class="player-time">
    <span class="player-clock">${formatClock(time)}</span>
    <input class="player-slider" type="range" ref=${slider} min="0" max=${duration} step="0.1" aria-label=${t("player.position")}
      aria-valuetext=${t("player.positionOf", { time: formatClock(time), duration: formatClock(duration) })}
      onInput=${(/** @type {any} */ event) => playback.seek(Number(event.target.value))} />
    <span class="player-clock">${formatClock(duration)}</span>
  </div>`;
}
