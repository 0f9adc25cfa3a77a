// Light or dark: the system's choice until the reader makes another, which is kept.
import { createStore } from "./state.js";

const KEPT_AS = "neuron-whisper.theme";
const darkSystem = matchMedia("(prefers-color-scheme: dark)");

export const theme = createStore({ choice: readChoice(), isDark: false });

/** Sets the page's theme by the choice, and follows the system. */
export function startTheme() {
  darkSystem.addEventListener("change", apply);
  apply();
}

/** @param {"system" | "light" | "dark"} choice */
export function chooseTheme(choice) {
  try {
    localStorage.setItem(KEPT_AS, choice);
  } catch {
    // nothing can be kept here: the choice holds until the page is closed
  }
  theme.set({ choice });
  apply();
}

function apply() {
  const { choice } = theme.get();
  const isDark = choice === "system" ? darkSystem.matches : choice === "dark";
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
  theme.set({ isDark });
}

/** @returns {"system" | "light" | "dark"} */
function readChoice() {
  try {
    const kept = localStorage.getItem(KEPT_AS);
    if (kept === "light" || kept === "dark") return kept;
  } catch {
    // no storage: the system decides
  }
  return "system";
}
