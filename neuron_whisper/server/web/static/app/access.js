// Whether this reader's key opens the health of the server; its tab is hidden otherwise.
import { request } from "./api/client.js";
import { apiKey, lacksKey } from "./api/key.js";
import { config } from "./config.js";
import { hideView, showView } from "./views.js";

/** Checks now, and whenever the key changes. */
export function watchAccess() {
  let last = "";
  const check = async () => {
    last = apiKey.get().value;
    if (config.hasKeys && config.metricsNeedKey) hideView("health"); // until the server has answered
    if (await isAllowed()) showView("health");
    else hideView("health");
  };
  apiKey.subscribe(({ value }) => void (value !== last && check()));
  check();
}

async function isAllowed() {
  if (!config.hasKeys) return true;
  if (lacksKey()) return false;
  if (!config.metricsNeedKey) return true; // anyone may read them
  try {
    await request("metrics", { quiet: true });
    return true;
  } catch (/** @type {any} */ error) {
    return error.status !== 401 && error.status !== 403;
  }
}
