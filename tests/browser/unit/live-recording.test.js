// The recording is a WAV file of all that was said, with the peaks that the server would have made of it.
import assert from "node:assert/strict";
import test from "node:test";

const APP = new URL("../../../neuron_whisper/server/web/static/app/live/", import.meta.url);
const { buildWavHeader } = await import(new URL("wav.js", APP));
const { createRecording, PEAKS_PER_SECOND } = await import(new URL("recording.js", APP));

test("the header says what follows it", () => {
  const bytes = Buffer.from(buildWavHeader(32000, 16000));
  assert.equal(bytes.length, 44);
  assert.deepEqual([bytes.toString("latin1", 0, 4), bytes.toString("latin1", 8, 16)], ["RIFF", "WAVEfmt "]);
  assert.equal(bytes.readUInt32LE(4), 32036);
  assert.deepEqual([bytes.readUInt16LE(20), bytes.readUInt16LE(22), bytes.readUInt16LE(34)], [1, 1, 16]);
  assert.deepEqual([bytes.readUInt32LE(24), bytes.readUInt32LE(28), bytes.readUInt16LE(32)], [16000, 32000, 2]);
  assert.deepEqual([bytes.toString("latin1", 36, 40), bytes.readUInt32LE(40)], ["data", 32000]);
});

test("all samples are in the file in their order, also beyond what is kept in memory", async () => {
  const recording = createRecording(100);
  const said = Array.from({ length: 50 }, (_, at) => Int16Array.from({ length: 100 }, (_, index) => 100 * at + index));
  for (const piece of said) recording.push(piece);
  assert.equal(recording.seconds, 50);
  const bytes = await recording.toBlob().arrayBuffer();
  assert.deepEqual([...new Int16Array(bytes.slice(44))], said.flatMap((piece) => [...piece]));
  recording.push(Int16Array.of(7));
  assert.equal((await recording.toBlob().arrayBuffer()).byteLength, bytes.byteLength + 2, "it may go on afterwards");
});

test("peaks are the largest sample of each twentieth of a second, full scale is 255", () => {
  const recording = createRecording(1000);
  const samples = new Int16Array(125);
  samples[10] = -32768;
  samples[60] = 16384;
  for (let at = 0; at < 125; at += 7) recording.push(samples.slice(at, at + 7));
  assert.equal(PEAKS_PER_SECOND, 20);
  assert.deepEqual(recording.peaks, [255, 128, 0]);
});
