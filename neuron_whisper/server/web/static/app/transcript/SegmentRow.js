// One segment: time, speaker, its words, and the button to edit it.
import { Component, html } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { formatClock } from "../ui/figures.js";
import { Icon } from "../ui/icons.js";
import { displayText } from "./model.js";
import { SegmentEditor } from "./SegmentEditor.js";
import { colourOf, nameOf } from "./speakerNames.js";
import { piecesOf } from "./words.js";

/** @typedef {import("./types.js").Segment} Segment */
/**
 * @typedef {object} RowsContext what all rows share; another object renders them all
 * @property {string[]} speakerIds
 * @property {Readonly<Record<string, string>>} speakers
 * @property {number} threshold probability below which a word is underlined
 * @property {import("./session.js").Session | null} session null while the document grows
 * @property {(index: number, keepFocus: boolean) => void} onDone
 * @property {string} locale
 */
/**
 * @typedef {object} RowProps
 * @property {Segment} segment
 * @property {number} index
 * @property {boolean} isNear near the part that is seen; other rows are text without words
 * @property {number | null} caret where editing begins, null: not edited
 * @property {RowsContext} context
 */

/** @extends {Component<RowProps>} */
export class SegmentRow extends Component {
  /** @param {RowProps} next */
  shouldComponentUpdate(next) {
    const { segment, isNear, caret, context } = /** @type {RowProps} */ (this.props);
    return segment !== next.segment || isNear !== next.isNear || caret !== next.caret || context !== next.context;
  }

  render() {
    const { segment, index, isNear, caret, context } = /** @type {RowProps} */ (this.props);
    const { session, speakerIds, speakers, threshold, onDone } = context;
    const time = formatClock(segment.start);
    const { speaker } = segment;
    const colour = speaker === undefined ? "" : colourOf(speakerIds, speaker);
    const isEdited = segment.original !== undefined && segment.original.text !== segment.text;
    return html`<li class=${`segment ${colour}`} id=${`segment-${index}`} data-index=${index}>
      <div class="segment-side">
        <span class="segment-time">${time}</span>
        ${speaker !== undefined && html`<span class="segment-speaker">${nameOf({ speakers }, speaker)}</span>`}
      </div>
      ${caret !== null && session
        ? html`<${SegmentEditor} ...${{ segment, index, caret, session, speakerIds, speakers }}
            onDone=${(/** @type {boolean} */ keepFocus) => onDone(index, keepFocus)} />`
        : html`<p class="segment-text" tabindex="0">${isNear ? wordsOf(segment, threshold) : displayText(segment)}</p>`}
      ${session && html`<button type="button" class="segment-edit" tabindex="-1" title=${t("transcript.edit", { time })}
        aria-label=${t("transcript.edit", { time })}><${Icon} name="edit" size=${18} />${isEdited && "•"}</button>`}
    </li>`;
  }
}

/** @param {Segment} segment @param {number} threshold */
function wordsOf(segment, threshold) {
  return piecesOf(segment.text, segment.words).map((piece) => {
    if (piece.word < 0) return piece.text;
    const { probability } = segment.words[piece.word];
    const isUnsure = probability !== undefined && probability < threshold;
    const about = isUnsure ? t("transcript.probability", { percent: Math.round(probability * 100) }) : undefined;
    return html`<span class=${isUnsure ? "word is-unsure" : "word"} data-word=${piece.word} tabindex="-1" title=${about}
      aria-description=${about}>${piece.text}</span>`;
  });
}
