// The waveform: wavesurfer drawing the server's peaks, with the skipped regions over it.
import { html, useEffect, useRef } from "../../vendor/htm-preact.js";
import RegionsPlugin from "../../vendor/regions.js";
import WaveSurfer from "../../vendor/wavesurfer.js";
import { config } from "../config.js";
import { downsample } from "./peaks.js";

/** @typedef {import("../transcript/types.js").Peaks} Peaks */
/** @typedef {import("../transcript/types.js").Skipped} Skipped */

const MAX_REGIONS = 400; // a region is an element

/**
 * Hidden from screen readers: the time slider beside it does what it does, and skipped regions are listed as text.
 * @param {{playback: import("./playback.js").Playback, peaks: Peaks, duration: number, skipped: readonly Skipped[],
 *   describe: (region: Skipped) => string}} props
 */
export function Waveform({ playback, peaks, duration, skipped, describe }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  useEffect(() => {
    const container = box.current;
    if (!container || !duration) return undefined;
    const regions = RegionsPlugin.create();
    const wave = WaveSurfer.create({
      ...coloursOf(container),
      container,
      height: container.clientHeight,
      barWidth: 2,
      barGap: 1,
      barRadius: 1,
      cursorWidth: 2,
      media: playback.media,
      peaks: [downsample(peaks.peaks)],
      duration,
      dragToSeek: true,
      cspNonce: config.nonce,
      plugins: [regions],
    });
    const colour = readToken(container, "--wave-skipped");
    wave.once("ready", () => {
      for (const gap of skipped.slice(0, MAX_REGIONS)) {
        const region = regions.addRegion({ start: gap.start, end: gap.end, drag: false, resize: false, color: colour });
        if (region.element) region.element.title = describe(gap);
      }
    });
    wave.on("error", () => {}); // playback tells it
    const repaint = () => wave.setOptions(coloursOf(container));
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", repaint);
    const chosen = new MutationObserver(repaint); // the theme that was chosen on the page
    chosen.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return () => {
      dark.removeEventListener("change", repaint);
      chosen.disconnect();
      wave.destroy();
    };
  }, [playback, peaks, duration, skipped]);
  return html`<div class="waveform" ref=${box} aria-hidden="true"></div>`;
}

/** @param {HTMLElement} element */
function coloursOf(element) {
  return {
    waveColor: readToken(element, "--wave"),
    progressColor: readToken(element, "--wave-played"),
    cursorColor: readToken(element, "--wave-cursor"),
  };
}

/** @param {HTMLElement} element @param {string} name */
function readToken(element, name) {
  return getComputedStyle(element).getPropertyValue(name).trim();
}
