// The microphone: which there are, opening one, and what it hears as pieces of 16-bit audio.

/** @typedef {{id: string, label: string}} Device */

/** Recognition wants the sound as it is; a quiet voice may be made louder. */
const CONSTRAINTS = {
  channelCount: { ideal: 1 },
  echoCancellation: false,
  noiseSuppression: false,
  autoGainControl: true,
};

/** `code` is one of denied, missing, busy, insecure, unsupported, failed. */
export class MicrophoneError extends Error {
  /** @param {string} code @param {string} [detail] */
  constructor(code, detail = "") {
    super(detail || code);
    this.code = code;
  }
}

/** Why no microphone can be opened on this page, "" where nothing is in the way. */
export function findObstacle() {
  if (!globalThis.isSecureContext) return "insecure";
  return navigator.mediaDevices && "AudioWorkletNode" in globalThis ? "" : "unsupported";
}

/** The microphones; without labels before one was allowed. @returns {Promise<Device[]>} */
export async function listDevices() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices
    .filter(({ kind, deviceId }) => kind === "audioinput" && deviceId)
    .map(({ deviceId, label }) => ({ id: deviceId, label }));
}

/**
 * Opens a microphone and starts to listen.
 * @param {{deviceId: string, onPiece: (samples: Int16Array, level: number) => void, onLost: () => void}} options
 *   `deviceId` "": the browser's choice; `onLost`: it was unplugged, or the permission taken back
 * @returns {Promise<{label: string, stop: () => Promise<void>}>} `stop` resolves after the last piece
 * @throws {MicrophoneError}
 */
export async function openMicrophone({ deviceId, onPiece, onLost }) {
  const obstacle = findObstacle();
  if (obstacle) throw new MicrophoneError(obstacle);
  const context = new AudioContext({ latencyHint: "interactive" });
  let stream;
  try {
    // before the microphone is open: its first words are not lost meanwhile
    await context.audioWorklet.addModule(new URL("./worklet.js", import.meta.url).href);
    stream = await openStream(deviceId);
    await context.resume();
  } catch (error) {
    for (const opened of stream?.getTracks() ?? []) opened.stop();
    await context.close();
    throw error instanceof MicrophoneError ? error : new MicrophoneError("failed", String(error));
  }
  const [track] = stream.getAudioTracks();
  const node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
  /** @type {() => void} */
  let tellLast = () => {};
  const last = new Promise((/** @type {(value: void) => void} */ resolve) => void (tellLast = resolve));
  node.port.onmessage = ({ data }) => (data.isLast ? tellLast() : onPiece(data.samples, data.level));
  context.createMediaStreamSource(stream).connect(node);
  context.onstatechange = () => {
    if (!["running", "closed"].includes(context.state)) void context.resume(); // a call took the sound
  };
  track.onended = onLost;
  return {
    label: track.label,
    async stop() {
      track.onended = null;
      node.port.postMessage("stop");
      await Promise.race([last, new Promise((resolve) => setTimeout(resolve, 500))]); // no answer where it is suspended
      context.onstatechange = () => {
    if (!["running", "closed"].includes(context.state)) void context.resume(); // a call took the sound
  };
      track.stop();
      await context.close();
    },
  };
}

/** @param {string} deviceId */
async function openStream(deviceId) {
  // one that is not there any more is no reason to hear nothing: the fields show the browser's choice, too
  const device = deviceId ? { deviceId: { ideal: deviceId } } : {};
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: { ...CONSTRAINTS, ...device } });
  } catch (error) {
    throw toMicrophoneError(error);
  }
}

/** @param {unknown} error of getUserMedia */
export function toMicrophoneError(error) {
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  /** @type {Record<string, string>} */
  const codes = {
    NotAllowedError: "denied",
    SecurityError: "denied",
    NotFoundError: "missing",
    OverconstrainedError: "missing",
    NotReadableError: "busy",
    AbortError: "busy",
  };
  return new MicrophoneError(codes[name] ?? "failed", error instanceof Error ? error.message : "");
}
