// Which view is shown: the address's fragment, such as #transcribe or #transcript/<id>.
import { createStore } from "./state.js";

/** @typedef {{view: string, id: string}} Route */

export const route = createStore(parseRoute(globalThis.location?.hash ?? ""));

globalThis.addEventListener?.("hashchange", () => route.set(parseRoute(location.hash)));

/** @param {string} hash @returns {Route} */
export function parseRoute(hash) {
  const [view, ...rest] = hash.replace(/^#/, "").split("/");
  let id = rest.join("/");
  try {
    id = decodeURIComponent(id);
  } catch {
    // a lone % that somebody typed: as it stands
  }
  return { view: view || "transcribe", id };
}

/** @param {string} view @param {string} [id] */
export function toHash(view, id = "") {
  return id ? `#${view}/${encodeURIComponent(id)}` : `#${view}`;
}

/** Shows a view. @param {string} view @param {string} [id] */
export function goTo(view, id = "") {
  location.hash = toHash(view, id);
}
