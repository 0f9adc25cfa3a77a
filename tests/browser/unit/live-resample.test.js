// Audio of any microphone becomes 16-bit mono at 16 kHz: pitch, level and length kept, what would alias taken away.
import assert from "node:assert/strict";
import test from "node:test";

const APP = new URL("../../../neuron_whisper/server/web/static/app/live/", import.meta.url);
const { createResampler, downmix, measureLevel, toInt16 } = await import(new URL("resample.js", APP));

function tone(hertz, rate, seconds) {
  const length = Math.round(rate * seconds);
  return Float32Array.from({ length }, (_, at) => 0.5 * Math.sin((2 * Math.PI * hertz * at) / rate));
}
const rms = (samples) => Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);

/** All of it, given in pieces of these lengths again and again. */
function resample(samples, rate, lengths = [128]) {
  const resampler = createResampler(rate, 16000);
  const output = [];
  for (let at = 0, turn = 0; at < samples.length; turn += 1) {
    const length = lengths[turn % lengths.length];
    output.push(...resampler.push(samples.subarray(at, at + length)));
    at += length;
  }
  return Float32Array.from([...output, ...resampler.finish()]);
}

for (const rate of [8000, 16000, 22050, 44100, 48000, 96000, 47999]) {
  test(`a tone of 1 kHz at ${rate} Hz is the same tone at 16 kHz`, () => {
    const heard = resample(tone(1000, rate, 0.5), rate);
    const wanted = tone(1000, 16000, 0.5);
    assert.ok(Math.abs(heard.length - wanted.length) <= 1, `${heard.length} samples`);
    const middle = (samples) => samples.subarray(400, 7600); // the ends ring
    const difference = middle(wanted).map((sample, at) => sample - middle(heard)[at]);
    assert.ok(rms(difference) < 0.001 * (rate === 47999 ? 4 : 1), `error ${rms(difference)}`);
  });
}

for (const rate of [44100, 48000]) {
  test(`what 16 kHz cannot carry does not come back as another tone from ${rate} Hz`, () => {
    for (const hertz of [9000, 12000, 15500, 20000]) {
      const heard = resample(tone(hertz, rate, 0.3), rate).subarray(200, -200);
      assert.ok(rms(heard) < 0.001 * rms(tone(hertz, rate, 0.3)), `${hertz} Hz: ${rms(heard)}`);
    }
  });
}

for (const rate of [44100, 48000, 8000]) {
  test(`the lengths of the pieces change no sample at ${rate} Hz`, () => {
    const speech = tone(440, rate, 0.2).map((sample, at) => sample * Math.sin(at / 700));
    const whole = resample(speech, rate, [speech.length]);
    for (const lengths of [[128], [1], [7, 4096, 1, 333]]) assert.deepEqual(resample(speech, rate, lengths), whole);
  });
}

test("channels are mixed to their mean, one channel stays as it is", () => {
  const left = Float32Array.of(1, 0, -0.5);
  assert.deepEqual(downmix([left, Float32Array.of(0, 0.5, -0.5)]), Float32Array.of(0.5, 0.25, -0.5));
  assert.equal(downmix([left]), left);
  assert.deepEqual(downmix([]), new Float32Array(0));
});

test("samples beyond full scale are clipped and do not wrap around", () => {
  const samples = Float32Array.of(0, 1, 1.7, -1, -3, 0.5);
  assert.deepEqual(toInt16(samples), Int16Array.of(0, 32767, 32767, -32768, -32768, 16384));
});

test("the level goes from silence to full scale in decibels", () => {
  assert.equal(measureLevel(new Int16Array(100)), 0);
  assert.equal(measureLevel(new Int16Array(0)), 0);
  assert.ok(measureLevel(new Int16Array(100).fill(32767)) > 0.999);
  assert.ok(Math.abs(measureLevel(new Int16Array(100).fill(1036)) - 0.5) < 0.001); // -30 dB
  assert.equal(measureLevel(new Int16Array(100).fill(3)), 0); // below -60 dB
});
