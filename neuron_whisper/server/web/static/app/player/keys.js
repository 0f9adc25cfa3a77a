// The keyboard of a transcript: which key does what, without taking keys from fields and buttons.

/** @typedef {{key: string, does: string}} KeyHelp the key as shown, and the key of the text that tells what it does */

/** @type {KeyHelp[]} */
export const KEYS = [
  { key: "Space", does: "player.key.toggle" },
  { key: "← →", does: "player.key.skip" },
  { key: "Tab", does: "player.key.segment" },
  { key: "Enter", does: "player.key.word" },
  { key: "E, F2", does: "player.key.edit" },
  { key: "Esc", does: "player.key.leave" },
  { key: "+ −", does: "player.key.rate" },
  { key: "/", does: "player.key.find" },
  { key: "Ctrl+Z, Ctrl+Y", does: "player.key.undo" },
  { key: "?", does: "player.key.help" },
];

const USES_KEYS = 'input, textarea, select, [contenteditable]:not([contenteditable="false"])';
const USES_SPACE = 'button, summary, a[href], [role="button"], [role="tab"], [role="switch"]';

/** Whether the focus is where text is entered or chosen. @param {EventTarget | null} target */
export function isEntering(target) {
  return target instanceof Element && target.closest(USES_KEYS) !== null;
}

/**
 * What a key means in a transcript, "" where it means nothing or belongs to what has the focus.
 * @param {KeyboardEvent} event
 * @returns {"" | "toggle" | "back" | "forward" | "faster" | "slower" | "find" | "help" | "undo" | "redo"}
 */
export function actionOf(event) {
  if (event.defaultPrevented || event.isComposing || isEntering(event.target)) return "";
  if (document.querySelector("dialog[open]")) return "";
  if ((event.ctrlKey || event.metaKey) && !event.altKey) return undoOf(event);
  if (event.ctrlKey || event.metaKey || event.altKey) return "";
  if (event.key === " " && event.target instanceof Element && event.target.closest(USES_SPACE)) return "";
  switch (event.key) {
    case " ":
      return "toggle";
    case "ArrowLeft":
      return "back";
    case "ArrowRight":
      return "forward";
    case "+":
      return "faster";
    case "-":
      return "slower";
    case "/":
      return "find";
    case "?":
      return "help";
    default:
      return "";
  }
}

/** "undo" or "redo" where the keys are those. @param {KeyboardEvent} event @returns {"" | "undo" | "redo"} */
export function undoOf(event) {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return "";
  const key = event.key.toLowerCase();
  if (key === "z") return event.shiftKey ? "redo" : "undo";
  return key === "y" && !event.shiftKey ? "redo" : "";
}
