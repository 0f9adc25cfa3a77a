// The field that edits one segment; each input goes into the document at once.
import { html, useEffect, useLayoutEffect, useRef } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { formatClock } from "../ui/figures.js";
import { undoOf } from "../player/keys.js";
import { setSpeaker, setText } from "./edits.js";
import { displayText } from "./model.js";
import { nameOf } from "./speakerNames.js";
import { oneLine } from "./text.js";

/** @typedef {import("./types.js").Segment} Segment */

/**
 * @param {{segment: Segment, index: number, caret: number, session: import("./session.js").Session,
 *   speakerIds: string[], speakers: Readonly<Record<string, string>>, onDone: (keepFocus: boolean) => void}} props
 *   `caret`: where to begin, in UTF-16 units of the shown text, -1 for the end
 */
export function SegmentEditor({ segment, index, caret, session, speakerIds, speakers, onDone }) {
  const field = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  const text = displayText(segment);
  useLayoutEffect(() => {
    const area = field.current;
    if (!area) return;
    area.focus({ preventScroll: true });
    const at = caret < 0 ? area.value.length : caret;
    area.setSelectionRange(at, at);
  }, []);
  useLayoutEffect(() => {
    const area = field.current;
    if (!area) return;
    // undone, or changed by another tab: what is typed itself stays as it is, with its spaces
    if (oneLine(area.value) !== text) area.value = text;
    fitHeight(area);
  }, [text]);
  useEffect(() => {
    // a selection of words on the page is not what is edited
    getSelection()?.removeAllRanges();
  }, []);

  const onInput = (/** @type {any} */ event) => {
    fitHeight(event.target);
    session.change((history) => setText(history, index, event.target.value));
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (event.isComposing || event.keyCode === 229) return; // Safari: the key that ends a composition
    const action = undoOf(event);
    if (action) session[action]();
    else if (event.key === "Enter" || event.key === "Escape") onDone(true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const onBlur = (/** @type {any} */ event) => {
    if (!event.currentTarget.contains(event.relatedTarget)) onDone(false);
  };
  return html`<div class="segment-editor" onFocusOut=${onBlur}>
    <textarea class="segment-field" ref=${field} rows="1" spellcheck="true" defaultValue=${text}
      aria-label=${t("transcript.editField", { time: formatClock(segment.start) })} onInput=${onInput} onKeyDown=${onKeyDown}></textarea>
    ${speakerIds.length > 0 && html`<label class="segment-speaker-choice"><span class="hidden-text">${t("transcript.speaker")}</span>
      <select class="select" onChange=${(/** @type {any} */ event) => session.change((it) => setSpeaker(it, index, event.target.value))}>
        ${segment.speaker === undefined && html`<option value="" disabled selected>–</option>`}
        ${speakerIds.map((id) => html`<option key=${id} value=${id} selected=${id === segment.speaker}>${nameOf({ speakers }, id)}</option>`)}
      </select></label>`}
  </div>`;
}

/** @param {HTMLTextAreaElement} area */
function fitHeight(area) {
  if (CSS.supports("field-sizing", "content")) return;
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
}
