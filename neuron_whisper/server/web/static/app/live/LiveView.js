// The view of live captions: choices and start, then bar and captions, then the result.
import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { config } from "../config.js";
import { t } from "../i18n.js";
import { useStore } from "../state.js";
import { Button } from "../ui/Button.js";
import { CaptionBox } from "./CaptionBox.js";
import { choices, fitChoices } from "./choices.js";
import { Controls } from "./Controls.js";
import { Fields } from "./Fields.js";
import { findObstacle } from "./microphone.js";
import { LinkNotices, MicrophoneNotice } from "./Notices.js";
import { Result } from "./Result.js";
import { session, start } from "./session.js";

export function LiveView() {
  const state = useStore(session, (whole) => whole);
  const [isLarge, setLarge] = useState(false);
  const [models, setModels] = useState(/** @type {string[]} */ ([]));
  const view = useRef(/** @type {HTMLElement | null} */ (null));
  useLargeEnd(isLarge, () => setLarge(false));
  const toggleLarge = () => {
    setLarge(!isLarge);
    if (!isLarge) view.current?.requestFullscreen?.().catch(() => {}); // without it the captions fill the window
  };
  const isOff = state.phase === "off";
  const empty = isOff ? t("live.emptyBefore") : state.phase === "done" ? t("live.emptyAfter") : t("live.emptyDuring");
  return html`<div class=${`live stack${isLarge ? " large" : ""}`} ref=${view}>
    <div class="live-head"><h1>${t("live.title")}</h1>${isOff && html`<p class="soft">${t("live.what")}</p>`}</div>
    ${isOff && html`<div class="card stack">
      <${Fields} models=${models} onModels=${setModels} />
      <div class="row"><${Button} kind="primary" icon="mic" disabled=${Boolean(findObstacle())}
        onClick=${() => start(fitChoices(choices.get(), { models, languages: config.languages.map(({ code }) => code) }))}>${t("live.start")}<//></div>
    </div>`}
    ${!isOff && html`<${Controls} session=${state} isLarge=${isLarge} onLarge=${toggleLarge} />`}
    <${MicrophoneNotice} session=${state} />
    ${state.phase === "done" && !isLarge && html`<${Result} key=${state.startedAt} session=${state} />`}
    <${CaptionBox} captions=${state.link.captions} empty=${empty}><${LinkNotices} session=${state} /><//>
  </div>`;
}

/** Large letters end with Escape, which ends full screen too. @param {boolean} isLarge @param {() => void} end */
function useLargeEnd(isLarge, end) {
  useEffect(() => {
    if (!isLarge) return undefined;
    const onKey = (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && end();
    const onFullscreen = () => !document.fullscreenElement && end();
    document.addEventListener("keydown", onKey);
    document.addEventListener("fullscreenchange", onFullscreen);
    return () => {
      if (document.fullscreenElement) void document.exitFullscreen();
      document.removeEventListener("keydown", onKey);
      document.removeEventListener("fullscreenchange", onFullscreen);
    };
  }, [isLarge]);
}
