// How loud the microphone is; drawn without rendering, as it changes ten times a second.
import { html, useEffect, useRef } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { level } from "./session.js";

const TOLD_MS = 1000; // between two values for screen readers

export function LevelMeter() {
  const meter = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    let toldAt = 0;
    return level.subscribe(({ value }) => {
      const element = meter.current;
      if (!element) return;
      element.style.setProperty("--level", value.toFixed(3));
      element.classList.toggle("loud", value > 0.97);
      if (Date.now() - toldAt < TOLD_MS) return;
      toldAt = Date.now();
      element.setAttribute("aria-valuenow", String(Math.round(100 * value)));
    });
  }, []);
  return html`<div class="live-meter" ref=${meter} role="meter" aria-label=${t("live.level")}
    aria-valuemin="0" aria-valuemax="100" aria-valuenow="0"><span></span></div>`;
}
