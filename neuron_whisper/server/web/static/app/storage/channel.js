// Tells this tab and the others what was saved, removed or evicted.

/** @typedef {{kind: "saved", id: string, revision: number} | {kind: "removed" | "audio", id: string}} Message */

/** @type {BroadcastChannel | null} */
const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("neuron-whisper.documents") : null;
// in Node a channel would keep a test's process
/** @type {any} */ (channel)?.unref?.();

/** @type {Set<(message: Message) => void>} */
const listeners = new Set();
if (channel) channel.onmessage = ({ data }) => listeners.forEach((listener) => listener(data));

/** @param {Message} message */
export function announce(message) {
  for (const listener of [...listeners]) listener(message);
  channel?.postMessage(message);
}

/** Listens to all tabs, this one too; gives the function that ends it. @param {(message: Message) => void} listener */
export function onAnnounced(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}
