// The Health tab is hidden while the server wants a key and there is none; the view itself says what a key may not see.
import { apiKey, lacksKey } from "./api/key.js";
import { hideView, showView } from "./views.js";

/** Checks now, and whenever the key changes. */
export function watchAccess() {
  const check = () => (lacksKey() ? hideView("health") : showView("health"));
  apiKey.subscribe(check);
  check();
}
