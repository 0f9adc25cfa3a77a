// The captions: final lines with their times, then what is still being said, quieter. Follows the newest line until the
// reader scrolls up. Final lines alone are read to screen readers.
import { Component, html, useLayoutEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { Button } from "../ui/Button.js";
import { formatClock } from "./clock.js";

const NEAR_END_PX = 48;


/**
 * @param {{captions: import("./captions.js").Captions, empty: string}} props `empty`: the text where nothing was said
 */
export function CaptionBox({ captions, empty }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [follows, setFollows] = useState(true);
  const pending = captions.pending.filter(({ stable, unstable }) => stable + unstable);
  const isListening = captions.pending.some(({ stable, unstable, isStale }) => !isStale && !stable && !unstable);

  const scrollToEnd = () => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  };
  useLayoutEffect(() => {
    if (follows) scrollToEnd();
  }, [captions, follows]);
  const onScroll = () => {
    const { scrollTop = 0, scrollHeight = 0, clientHeight = 0 } = box.current ?? {};
    setFollows(scrollHeight - scrollTop - clientHeight < NEAR_END_PX);
  };

  return html`<div class="live-captions">
    <div class="live-scroll" ref=${box} onScroll=${onScroll} tabindex="0" role="region" aria-label=${t("live.captions")}>
      <div role="log" aria-live="polite" aria-relevant="additions" aria-label=${t("live.captions")}>
        ${captions.lines.map((line) => html`<${Line} key=${line.id} line=${line} />`)}
      </div>
      <div aria-live="off">
        ${pending.map((one) => html`<p class=${`live-line pending${one.isStale ? " stale" : ""}`} key=${one.key}>
          <time>${formatClock(one.start)}</time>
          <span><span class="live-stable">${one.stable}</span><span class="live-unstable">${one.unstable}</span></span>
        </p>`)}
        ${isListening && !pending.length && html`<p class="live-line pending"><time></time><span class="live-dots" aria-hidden="true">…</span></p>`}
      </div>
      ${!captions.lines.length && !captions.pending.length && html`<p class="live-empty">${empty}</p>`}
    </div>
    ${!follows && html`<${Button} kind="round live-newest" onClick=${() => { setFollows(true); scrollToEnd(); }}>
      ${t("live.newest")}
    <//>`}
  </div>`;
}

/** A line never changes: thousands of them are not rendered again with each word. */
class Line extends Component {
  shouldComponentUpdate() {
    return false;
  }

  render(/** @type {{line: import("./captions.js").Line}} */ { line }) {
    const { kind, start, end, text } = line;
    const shown = kind === "text" ? text : t(`live.line.${kind}`, { from: formatClock(start), to: formatClock(end), text });
    return html`<p class=${`live-line ${kind}`}><time>${formatClock(start)}</time><span>${shown}</span></p>`;
  }
}
