// The recording that is played: its state in a store, its time for each frame to who listens.
import { createStore } from "../state.js";

/**
 * @typedef {object} PlaybackState
 * @property {number} time seconds; four times a second while it plays
 * @property {number} duration seconds
 * @property {boolean} isPlaying
 * @property {number} rate
 * @property {boolean} hasAudio
 * @property {boolean} isBroken the browser cannot play this recording
 */
/** @typedef {ReturnType<typeof createPlayback>} Playback */

export const RATES = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 3];

/** @param {number} duration seconds, as the server measured it */
export function createPlayback(duration) {
  const media = new Audio();
  media.preload = "metadata";
  const store = createStore(
    /** @type {PlaybackState} */ ({ time: 0, duration, isPlaying: false, rate: 1, hasAudio: false, isBroken: false }),
  );
  /** @type {Set<(time: number) => void>} */
  const listeners = new Set();
  let frame = 0;
  let url = "";

  const tell = () => listeners.forEach((listener) => listener(media.currentTime));
  const run = () => {
    tell();
    frame = media.paused ? 0 : requestAnimationFrame(run);
  };
  const update = () => store.set({ time: media.currentTime });
  const on = (/** @type {string} */ kind, /** @type {() => void} */ listener) => media.addEventListener(kind, listener);
  on("timeupdate", update);
  on("seeked", () => {
    update();
    tell();
  });
  on("play", () => {
    store.set({ isPlaying: true });
    if (!frame) frame = requestAnimationFrame(run);
  });
  on("pause", () => store.set({ isPlaying: false }));
  on("ratechange", () => store.set({ rate: media.playbackRate }));
  on("error", () => void (media.hasAttribute("src") && store.set({ isBroken: true, isPlaying: false })));
  on("durationchange", () => {
    // a recording of the browser itself has no duration in its file
    if (Number.isFinite(media.duration)) store.set({ duration: media.duration });
  });

  return {
    media,
    store,
    /** @param {Blob | string | null} audio a recording, or its URL */
    load(audio) {
      if (url) URL.revokeObjectURL(url);
      url = audio instanceof Blob ? URL.createObjectURL(audio) : "";
      const source = url || (typeof audio === "string" ? audio : "");
      store.set({ hasAudio: Boolean(source), isBroken: false, time: 0 });
      if (source) media.src = source;
      else if (media.hasAttribute("src")) {
        media.removeAttribute("src");
        media.load(); // what was loaded would play on
      }
    },
    play: () => void media.play().catch(() => {}), // the error event tells why
    pause: () => media.pause(),
    toggle() {
      if (media.paused) this.play();
      else media.pause();
    },
    /** @param {number} time seconds */
    seek(time) {
      media.currentTime = Math.max(0, Math.min(time, store.get().duration || time));
      update();
      tell();
    },
    /** @param {number} time seconds */
    playFrom(time) {
      this.seek(time);
      this.play();
    },
    /** @param {number} rate */
    setRate(rate) {
      media.defaultPlaybackRate = rate;
      media.playbackRate = rate;
    },
    /**
     * Calls with the time, for each frame while it plays and after each seek.
     * @param {(time: number) => void} listener
     */
    onTime(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close() {
      media.pause();
      cancelAnimationFrame(frame);
      this.load(null);
    },
  };
}
