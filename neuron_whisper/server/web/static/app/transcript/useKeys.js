// The keyboard of an open transcript, while it is on the page.
import { useEffect, useRef } from "../../vendor/htm-preact.js";
import { actionOf } from "../player/keys.js";
import { SKIP_S } from "../player/Player.js";
import { RATES } from "../player/playback.js";

/**
 * @param {{playback: import("../player/playback.js").Playback, find: () => void, help: () => void, undo: () => void,
 *   redo: () => void}} actions
 */
export function useKeys(actions) {
  const latest = useRef(actions);
  latest.current = actions;
  useEffect(() => {
    const onKey = (/** @type {KeyboardEvent} */ event) => {
      const action = actionOf(event);
      if (!action) return;
      event.preventDefault();
      perform(action, latest.current);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

/** @param {string} action @param {Parameters<typeof useKeys>[0]} actions */
function perform(action, { playback, find, help, undo, redo }) {
  const time = playback.media.currentTime;
  const rate = RATES.indexOf(playback.store.get().rate);
  /** @type {Record<string, () => void>} */
  const performs = {
    toggle: () => playback.toggle(),
    back: () => playback.seek(time - SKIP_S),
    forward: () => playback.seek(time + SKIP_S),
    faster: () => playback.setRate(RATES[Math.min(RATES.length - 1, rate + 1)]),
    slower: () => playback.setRate(RATES[Math.max(0, rate - 1)]),
    ...{ find, help, undo, redo },
  };
  performs[action]?.();
}
