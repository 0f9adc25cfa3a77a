// Runs on the audio thread: takes what the microphone hears and posts it as 16-bit mono pieces of about 100 ms.
import { createResampler, downmix, measureLevel, toInt16 } from "./resample.js";

const RATE = 16000; // Hz; the models' own
const PIECE_SAMPLES = RATE / 10;

/** @type {any} the audio thread's names, which a page's types do not have */
const scope = globalThis;

class CaptureProcessor extends scope.AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = createResampler(scope.sampleRate, RATE);
    this.piece = new Int16Array(PIECE_SAMPLES);
    this.filled = 0;
    this.isCapturing = true;
    this.port.onmessage = (/** @type {MessageEvent} */ message) => {
      if (message.data === "stop") this.stop();
    };
  }

  /** @param {Float32Array[][]} inputs */
  process(inputs) {
    if (this.isCapturing && inputs[0]?.length) this.add(toInt16(this.resampler.push(downmix(inputs[0]))));
    return this.isCapturing;
  }

  /** @param {Int16Array} samples */
  add(samples) {
    for (let start = 0; start < samples.length; ) {
      const part = samples.subarray(start, start + PIECE_SAMPLES - this.filled);
      this.piece.set(part, this.filled);
      this.filled += part.length;
      start += part.length;
      if (this.filled === PIECE_SAMPLES) this.post();
    }
  }

  post() {
    const samples = this.piece.slice(0, this.filled);
    this.filled = 0;
    this.port.postMessage({ samples, level: measureLevel(samples) }, [samples.buffer]);
  }

  /** Posts the rest, and that it was the last. */
  stop() {
    if (!this.isCapturing) return;
    this.isCapturing = false;
    this.add(toInt16(this.resampler.finish()));
    if (this.filled) this.post();
    this.port.postMessage({ isLast: true });
  }
}

scope.registerProcessor("capture", CaptureProcessor);
