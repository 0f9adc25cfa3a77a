// Mono audio at the rate that the server takes: downmix, a windowed-sinc resampler for streams, 16-bit samples, level.

const ZERO_CROSSINGS = 16; // of the sinc on each side: the stop band is below -60 dB
const PASS_BAND = 0.92; // of the lower of both Nyquist frequencies; above it the filter falls
const MAX_PHASES = 512;

/**
 * The mean of the channels.
 * @param {Float32Array[]} channels of one length
 * @returns {Float32Array}
 */
export function downmix(channels) {
  if (channels.length === 1) return channels[0];
  const mono = new Float32Array(channels[0]?.length ?? 0);
  for (const channel of channels) {
    for (let index = 0; index < mono.length; index += 1) mono[index] += channel[index] / channels.length;
  }
  return mono;
}

/**
 * Gives audio of `inRate` in pieces of any length back at `outRate`; the pieces' bounds change no sample.
 * @param {number} inRate Hz, a whole number
 * @param {number} outRate Hz, a whole number
 * @returns {{push: (samples: Float32Array) => Float32Array, finish: () => Float32Array}}
 */
export function createResampler(inRate, outRate) {
  const divisor = findDivisor(inRate, outRate);
  const up = outRate / divisor;
  const down = inRate / divisor;
  if (up === down) return { push: (samples) => samples.slice(), finish: () => new Float32Array(0) };
  const half = Math.ceil(ZERO_CROSSINGS * Math.max(1, inRate / outRate));
  const filters = designFilters(half, Math.min(1, outRate / inRate) * PASS_BAND, Math.min(up, MAX_PHASES));
  let kept = new Float32Array(half); // silence before the first sample
  let position = half * up; // of the next output within `kept`, in parts of an input sample

  /** @param {Float32Array} samples */
  function push(samples) {
    const audio = new Float32Array(kept.length + samples.length);
    audio.set(kept);
    audio.set(samples, kept.length);
    const count = Math.max(0, Math.ceil(((audio.length - half) * up - position) / down));
    const output = new Float32Array(count);
    for (let index = 0; index < count; index += 1, position += down) {
      const at = Math.floor(position / up);
      const phase = position - at * up;
      output[index] = filterAt(audio, at, filters[Math.floor((phase * filters.length) / up)]);
    }
    const first = Math.max(0, Math.min(audio.length, Math.floor(position / up) - half));
    kept = audio.slice(first);
    position -= first * up;
    return output;
  }
  return { push, finish: () => push(new Float32Array(half)) };
}

/**
 * Samples as 16-bit integers; what is beyond full scale is clipped.
 * @param {Float32Array} samples
 */
export function toInt16(samples) {
  const integers = new Int16Array(samples.length);
  for (let index = 0; index < samples.length; index += 1) {
    integers[index] = Math.max(-32768, Math.min(32767, Math.round(samples[index] * 32768)));
  }
  return integers;
}

/**
 * How loud a piece is, from 0 (-60 dB below full scale, or less) to 1.
 * @param {Int16Array} samples
 */
export function measureLevel(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const rms = Math.sqrt(sum / Math.max(1, samples.length)) / 32768;
  return rms === 0 ? 0 : Math.max(0, Math.min(1, 1 + Math.log10(rms) / 3));
}

/** @param {Float32Array} audio @param {number} at @param {Float32Array} filter of an even number of taps */
function filterAt(audio, at, filter) {
  const start = at - filter.length / 2 + 1;
  let sum = 0;
  for (let tap = 0; tap < filter.length; tap += 1) sum += audio[start + tap] * filter[tap];
  return sum;
}

/**
 * One filter a phase: the taps for outputs that lie `phase / phases` after an input sample. Each adds up to 1.
 * @param {number} half taps on each side
 * @param {number} cutoff as a share of the input's Nyquist frequency
 * @param {number} phases
 */
function designFilters(half, cutoff, phases) {
  return Array.from({ length: phases }, (_, phase) => {
    const taps = new Float32Array(2 * half);
    let sum = 0;
    for (let tap = 0; tap < taps.length; tap += 1) {
      const distance = tap - half + 1 - phase / phases;
      taps[tap] = sinc(cutoff * distance) * blackman(distance / half);
      sum += taps[tap];
    }
    return taps.map((tap) => tap / sum);
  });
}

/** The window: 1 in the middle, 0 at -1 and 1. @param {number} x */
function blackman(x) {
  return 0.42 + 0.5 * Math.cos(Math.PI * x) + 0.08 * Math.cos(2 * Math.PI * x);
}

/** @param {number} x */
function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** The greatest common divisor. @param {number} a @param {number} b @returns {number} */
function findDivisor(a, b) {
  return b === 0 ? a : findDivisor(b, a % b);
}
