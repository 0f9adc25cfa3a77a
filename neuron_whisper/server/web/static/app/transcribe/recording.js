// A recording by the browser's MediaRecorder: microphones, level, and the file at the end.

const TYPES = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"];
const ENDINGS = { "audio/webm": "webm", "audio/mp4": "m4a", "audio/ogg": "ogg" };

let open = 0; // microphones that record now

/** Whether something is being recorded. */
export const isRecording = () => open > 0;

/** Whether the browser records here: it does not on a page over plain HTTP. */
export const canRecord = () => Boolean(navigator.mediaDevices) && "MediaRecorder" in globalThis;

/** Microphones; their names are known once one was allowed. @returns {Promise<MediaDeviceInfo[]>} */
export async function listMicrophones() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === "audioinput" && device.deviceId);
}

/**
 * @typedef {object} Recording
 * @property {() => number} getLevel 0 to 1, now
 * @property {() => number} getSeconds
 * @property {string} deviceId
 * @property {() => Promise<{file: File, seconds: number}>} stop
 * @property {() => void} discard
 */

/** @param {string} deviceId "" for the browser's choice @returns {Promise<Recording>} Rejects as getUserMedia does. */
export async function startRecording(deviceId) {
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: deviceId ? { deviceId: { exact: deviceId } } : true,
  });
  const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
  const recorder = new MediaRecorder(stream, mimeType ? { mimeType } : {});
  /** @type {Blob[]} */
  const pieces = [];
  recorder.ondataavailable = (event) => pieces.push(event.data);
  const startedAt = performance.now();
  recorder.start(1000);
  const meter = createMeter(stream);
  open += 1;
  const getSeconds = () => (performance.now() - startedAt) / 1000;
  const release = () => {
    open -= 1;
    meter.close();
    for (const track of stream.getTracks()) track.stop();
  };
  return {
    getLevel: meter.getLevel,
    getSeconds,
    deviceId: stream.getAudioTracks()[0]?.getSettings().deviceId ?? "",
    discard: () => {
      recorder.onstop = null;
      if (recorder.state !== "inactive") recorder.stop();
      release();
    },
    stop: () =>
      new Promise((resolve) => {
        const seconds = getSeconds();
        const finish = () => {
          release();
          resolve({ file: toFile(pieces, recorder.mimeType), seconds });
        };
        if (recorder.state === "inactive")
          finish(); // the microphone was pulled out
        else {
          recorder.onstop = finish;
          recorder.stop();
        }
      }),
  };
}

/** @param {Blob[]} pieces @param {string} mimeType */
function toFile(pieces, mimeType) {
  const type = mimeType.split(";")[0];
  const now = new Date();
  const stamp = new Date(now.getTime() - now.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
  const ending = /** @type {Record<string, string>} */ (ENDINGS)[type] ?? "webm";
  return new File(pieces, `recording ${stamp.replace("T", " ").replaceAll(":", "-")}.${ending}`, { type });
}

/** @param {MediaStream} stream */
function createMeter(stream) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  return {
    getLevel: () => {
      analyser.getFloatTimeDomainData(samples);
      let sum = 0;
      for (const sample of samples) sum += sample * sample;
      const decibels = 10 * Math.log10(sum / samples.length + 1e-10);
      return Math.min(1, Math.max(0, (decibels + 60) / 54)); // -60 dB is nothing, -6 dB full
    },
    close: () => void context.close(),
  };
}
