// Clicks and keys in the list of segments, handled once for all rows.
import { undoOf } from "../player/keys.js";

/**
 * @typedef {object} ListActions
 * @property {(segment: number, word: number) => void} play from a word; word -1: from the segment's start
 * @property {(segment: number, caret: number) => void} edit caret in UTF-16 units of the shown text, -1: its end
 */

/** The row of an event, with its index. @param {Event} event */
function rowOf(event) {
  const target = /** @type {Element} */ (event.target);
  const row = /** @type {HTMLElement | null} */ (target.closest?.("[data-index]"));
  const word = /** @type {HTMLElement | null} */ (target.closest?.("[data-word]"));
  return row && { target, row, word, index: Number(row.dataset.index) };
}

/** Where a word begins in its row's text. @param {Element | null} word */
function offsetOf(word) {
  if (!word?.parentNode) return -1;
  let offset = 0;
  for (const node of word.parentNode.childNodes) {
    if (node === word) return offset;
    offset += node.textContent?.length ?? 0;
  }
  return -1;
}

/** @param {MouseEvent} event @param {ListActions} actions */
export function onListClick(event, { play, edit }) {
  const found = rowOf(event);
  if (!found || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const { target, word, index } = found;
  if (target.closest(".segment-edit")) edit(index, -1);
  else if (getSelection()?.type === "Range") return; // text was selected
  else if (word) play(index, Number(word.dataset.word));
  else if (target.closest(".segment-time")) play(index, -1);
}

/** @param {MouseEvent} event @param {ListActions} actions */
export function onListDoubleClick(event, { edit }) {
  const found = rowOf(event);
  if (!found?.target.closest(".segment-text")) return;
  event.preventDefault();
  edit(found.index, offsetOf(found.word));
}

/** @param {KeyboardEvent} event @param {ListActions} actions */
export function onListKey(event, { play, edit }) {
  const found = rowOf(event);
  if (!found || undoOf(event) || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const { target, row, word, index } = found;
  if (!target.closest(".segment-text")) return;
  if (event.key === "Enter") play(index, word ? Number(word.dataset.word) : -1);
  else if (event.key === "F2" || event.key.toLowerCase() === "e") edit(index, offsetOf(word));
  else if (event.key === "ArrowRight") moveWord(row, word, 1);
  else if (event.key === "ArrowLeft") moveWord(row, word, -1);
  else if (event.key === "ArrowDown") focusRow(index + 1);
  else if (event.key === "ArrowUp") focusRow(index - 1);
  else if (event.key === "Escape" && word) focusRow(index);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

/** @param {HTMLElement} row @param {HTMLElement | null} word @param {1 | -1} step */
function moveWord(row, word, step) {
  const words = [.../** @type {NodeListOf<HTMLElement>} */ (row.querySelectorAll("[data-word]"))];
  const at = word ? words.indexOf(word) + step : step > 0 ? 0 : words.length - 1;
  words[at]?.focus();
}

/** Puts the focus on a segment. @param {number} index */
export function focusRow(index) {
  const text = /** @type {HTMLElement | null} */ (document.querySelector(`#segment-${index} .segment-text`));
  text?.focus();
}
