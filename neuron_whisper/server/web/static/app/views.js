// The views by the name in the address; all but the first are loaded when they are opened.
import { config } from "./config.js";
import { createStore } from "./state.js";
import { TranscribeView } from "./transcribe/TranscribeView.js";

/**
 * @typedef {object} View
 * @property {string} name in the address
 * @property {string} title key of its name
 * @property {boolean} isTab whether the header shows it
 * @property {any} [component] of a view that is part of the first load
 * @property {() => Promise<any>} [load] gives the component
 */

/** @type {View[]} */
export const VIEWS = [
  { name: "transcribe", title: "page.transcribe", isTab: true, component: TranscribeView },
  { name: "live", title: "page.live", isTab: true, load: async () => (await import("./live/index.js")).LiveView },
  {
    name: "history",
    title: "page.history",
    isTab: true,
    load: async () => (await import("./history/HistoryView.js")).HistoryView,
  },
  {
    name: "health",
    title: "page.health",
    isTab: true,
    load: async () => (await import("./health/index.js")).HealthView,
  },
  {
    name: "transcript",
    title: "page.transcript",
    isTab: false,
    load: async () => (await import("./transcript-page/TranscriptPage.js")).TranscriptPage,
  },
];

/** Names of views that could not be loaded, or that this reader may not open; their tabs are hidden. */
export const hiddenViews = createStore({ names: config.hasRealtime ? /** @type {string[]} */ ([]) : ["live"] });

/** @param {string} name */
export function hideView(name) {
  hiddenViews.set((state) => ({ names: state.names.includes(name) ? state.names : [...state.names, name] }));
}

/** @param {string} name */
export function showView(name) {
  if (!hiddenViews.get().names.includes(name)) return;
  hiddenViews.set((state) => ({ names: state.names.filter((other) => other !== name) }));
}

/** A view by its name, the first for one that does not exist. @param {string} name */
export function findView(name) {
  return VIEWS.find((view) => view.name === name) ?? VIEWS[0];
}
