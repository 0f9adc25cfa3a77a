// One session of live captions: microphone, recording and link, from start to the finished text. Lives on when the
// reader looks at another view.
import { apiKey } from "../api/key.js";
import { createStore } from "../state.js";
import { buildProtocols, buildStreamUrl } from "./address.js";
import { NO_CAPTIONS } from "./captions.js";
import { NOT_CONNECTED } from "./connection.js";
import { createLink, RATE } from "./link.js";
import { MicrophoneError, openMicrophone } from "./microphone.js";
import { createRecording, PEAKS_PER_SECOND } from "./recording.js";
import { keepAwake } from "./wakelock.js";

/**
 * @typedef {{deviceId: string, model: string, language: string, prompt: string}} Choices
 * @typedef {object} SessionState
 * @property {"off" | "starting" | "listening" | "paused" | "finishing" | "done"} phase
 * @property {import("./link.js").LinkState} link
 * @property {number} seconds recorded, whole
 * @property {string} micProblem a code of MicrophoneError, or "lost"
 * @property {string} micDetail
 * @property {string} microphone its label
 * @property {number} startedAt Unix milliseconds
 * @property {Choices} choices
 * @property {number} recorded seconds, known when the session is done
 * @property {any} transcript the document that was kept of it
 */

const NO_LINK = { connection: NOT_CONNECTED, captions: NO_CAPTIONS, behind: 0, model: "", complaint: "" };

/** @type {SessionState} */
const OFF = {
  phase: "off",
  link: NO_LINK,
  seconds: 0,
  micProblem: "",
  micDetail: "",
  microphone: "",
  startedAt: 0,
  choices: { deviceId: "", model: "", language: "", prompt: "" },
  recorded: 0,
  transcript: null,
};

export const session = createStore(OFF);

/** How loud it is, 0 to 1: told ten times a second, which would be much for all that renders by `session`. */
export const level = createStore({ value: 0 });

/** @type {ReturnType<typeof createLink> | null} */
let link = null;
/** @type {ReturnType<typeof createRecording> | null} */
let recording = null;
/** @type {Awaited<ReturnType<typeof openMicrophone>> | null} */
let microphone = null;
let opening = 0; // the number of the last one that was asked for

/** @param {Choices} choices */
export async function start(choices) {
  if (session.get().phase !== "off" && session.get().phase !== "done") return;
  session.set({ ...OFF, phase: "starting", choices, startedAt: Date.now() });
  recording = createRecording(RATE);
  link = createLink(() => ({
    url: buildStreamUrl(document.baseURI, { rate: RATE, ...session.get().choices }),
    protocols: buildProtocols(apiKey.get().value),
  }));
  link.store.subscribe((state) => session.set({ link: state }));
  if ((await listen()) !== "open") {
    session.set({ phase: "off" });
    return;
  }
  link.start();
}

/**
 * Opens the microphone; the session's phase tells what came of it.
 * @returns {Promise<"open" | "failed" | "late">} late: it was let go, or another asked for, before it was open
 */
async function listen() {
  const number = (opening += 1);
  let isLate = false;
  let opened;
  try {
    const { deviceId } = session.get().choices;
    /** @type {typeof take} */
    const onPiece = (samples, loudness) => void (isLate || take(samples, loudness));
    opened = await openMicrophone({ deviceId, onPiece, onLost: () => void loseMicrophone() });
  } catch (error) {
    if (number !== opening) return "late";
    const { code, message } = error instanceof MicrophoneError ? error : new MicrophoneError("failed", String(error));
    session.set({ micProblem: code, micDetail: message });
    return "failed";
  }
  isLate = number !== opening;
  if (isLate) {
    await opened.stop();
    return "late";
  }
  microphone = opened;
  session.set({ phase: "listening", microphone: microphone.label, micProblem: "", micDetail: "" });
  void keepAwake(true);
  return "open";
}

/** @param {Int16Array} samples @param {number} loudness */
function take(samples, loudness) {
  recording?.push(samples);
  link?.push(samples);
  level.set({ value: loudness });
  const seconds = Math.floor(recording?.seconds ?? 0);
  if (seconds !== session.get().seconds) session.set({ seconds });
}

async function quiet() {
  opening += 1;
  const stopping = microphone;
  microphone = null;
  await stopping?.stop();
  level.set({ value: 0 });
  void keepAwake(false);
}

async function loseMicrophone() {
  if (session.get().phase !== "listening") return;
  await pause();
  session.set({ micProblem: "lost" });
}

/** Lets the microphone go; the server gives what it heard its final text, and its place to others. */
export async function pause() {
  if (session.get().phase !== "listening") return;
  session.set({ phase: "paused" });
  await quiet();
  void link?.finish();
}

export async function resume() {
  if (session.get().phase !== "paused") return;
  session.set({ phase: "starting" });
  if ((await listen()) === "open") link?.start();
  else session.set({ phase: "paused" });
}

/** Another microphone at once, without a break in the captions. @param {string} deviceId */
export async function changeDevice(deviceId) {
  session.set((state) => ({ choices: { ...state.choices, deviceId } }));
  if (session.get().phase !== "listening") return;
  await quiet();
  if (session.get().phase === "listening" && (await listen()) === "failed") await pause();
}

/** Ends the session when the last text is there. */
export async function stop() {
  const { phase } = session.get();
  if (phase !== "listening" && phase !== "paused") return;
  session.set({ phase: "finishing" });
  await quiet();
  await link?.finish();
  session.set({ phase: "done", recorded: recording?.seconds ?? 0 });
}

/** Ends a session whose server does not come back: what has no text stays a gap. */
export function giveUp() {
  link?.abandon();
}

/** Tries to connect now. */
export function retry() {
  link?.retry();
}

/** The recording of the session as a WAV file. */
export function getRecording() {
  return recording?.toBlob() ?? new Blob([]);
}

/** How loud each 1/20 s of it is, as the server would tell it. */
export function getPeaks() {
  return { peaks_per_second: PEAKS_PER_SECOND, peaks: recording?.peaks ?? [] };
}

/** Forgets the session that is done. */
export function clear() {
  if (session.get().phase !== "done") return;
  link = null;
  recording = null;
  session.set(OFF);
}

apiKey.subscribe(({ value }) => {
  const { problem } = session.get().link.connection;
  if (value && problem?.code.startsWith("key_")) retry();
});
globalThis.addEventListener?.("online", retry);
globalThis.addEventListener?.("offline", () => link?.goOffline());
globalThis.addEventListener?.("beforeunload", (event) => {
  if (["starting", "listening", "paused", "finishing"].includes(session.get().phase)) event.preventDefault();
});
