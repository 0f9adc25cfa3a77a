// Hooks that views share: the time, and whether the window is wide.
import { useEffect, useReducer, useState } from "../../vendor/htm-preact.js";

/**
 * The time in ms since 1970; renders again each `interval` ms while `isOn`.
 * @param {number} interval
 * @param {boolean} isOn
 */
export function useNow(interval, isOn) {
  const [, tick] = useReducer((/** @type {number} */ count) => count + 1, 0);
  useEffect(() => {
    if (!isOn) return undefined;
    const timer = setInterval(() => tick(0), interval);
    return () => clearInterval(timer);
  }, [interval, isOn]);
  return Date.now();
}

/** Whether a media query holds now. @param {string} query */
export function useMedia(query) {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const change = () => setMatches(list.matches);
    change();
    list.addEventListener("change", change);
    return () => list.removeEventListener("change", change);
  }, [query]);
  return matches;
}
