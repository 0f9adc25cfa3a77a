// Loading and unloading models, where the server lets it be done.
import { requestJson } from "../api/client.js";
import { resolveUrl } from "../config.js";

/** Whether the server has the routes that load and unload models. */
export async function hasModelAdmin() {
  try {
    const { paths } = await (await fetch(resolveUrl("schema/openapi.json"))).json();
    return "/v1/models/load" in paths;
  } catch {
    return false;
  }
}

/** @param {"load" | "unload"} action @param {string} model */
export function changeModel(action, model) {
  return requestJson(`v1/models/${action}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model }),
  });
}
