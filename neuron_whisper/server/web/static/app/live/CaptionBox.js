// The captions: final lines with their times, then what is still being said, quieter. Follows the newest line until the
// reader scrolls up. Final lines alone are read to screen readers.
import { Component, html, useLayoutEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { Button } from "../ui/Button.js";
import { formatClock } from "../ui/figures.js";

const NEAR_END_PX = 48;


/** @typedef {import("./captions.js").Line} Line */

/**
 * @param {{captions: import("./captions.js").Captions, empty: string, children?: unknown}} props
 *   `empty`: the text where nothing was said; `children`: notices at the foot, which take room from the lines alone
 */
export function CaptionBox({ captions, empty, children }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [follows, setFollows] = useState(true);
  const pending = captions.pending.filter(({ stable, unstable }) => stable + unstable);
  const isListening = captions.pending.some(({ stable, unstable, isStale }) => !isStale && !stable && !unstable);

  const scrollToEnd = () => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  };
  useLayoutEffect(() => {
    if (follows) scrollToEnd();
  });
  const onScroll = () => {
    const { scrollTop = 0, scrollHeight = 0, clientHeight = 0 } = box.current ?? {};
    setFollows(scrollHeight - scrollTop - clientHeight < NEAR_END_PX);
  };

  return html`<div class="live-captions">
    <div class="live-scroll" ref=${box} onScroll=${onScroll} tabindex="0" role="region" aria-label=${t("live.captions")}>
      <div role="log" aria-live="polite" aria-relevant="additions" aria-label=${t("live.captions")}>
        <${Lines} lines=${captions.lines} />
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
    ${children}
  </div>`;
}

/** Final lines never change: an hour of them is not rendered again with each word of the next. */
class Lines extends Component {
  shouldComponentUpdate(/** @type {{lines: readonly Line[]}} */ next) {
    return next.lines !== this.props.lines;
  }

  render(/** @type {{lines: readonly Line[]}} */ { lines }) {
    return lines.map(({ id, kind, start, end, text }) => {
      const times = { from: formatClock(start), to: formatClock(end), text };
      const shown = kind === "text" ? text : t(`live.line.${kind}`, times);
      return html`<p class=${`live-line ${kind}`} key=${id}><time>${times.from}</time><span>${shown}</span></p>`;
    });
  }
}
