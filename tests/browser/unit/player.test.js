// The player's arithmetic: peaks that are drawn, the place that is played, room for recordings.
import assert from "node:assert/strict";
import test from "node:test";

const APP = new URL("../../../neuron_whisper/server/web/static/app/", import.meta.url);
const { lastStarted, placeAt } = await import(new URL("player/highlight.js", APP));
const { downsample } = await import(new URL("player/peaks.js", APP));
const { chooseEvicted, DEFAULT_LIMIT_BYTES, limitOf } = await import(new URL("storage/quota.js", APP));

test("peaks are the largest of each group, from 0 to 1", () => {
  assert.deepEqual([...downsample([0, 255, 51, 0], 2)], [1, Math.fround(0.2)]);
  assert.deepEqual([...downsample([255, 0])], [1, 0]);
  assert.equal(downsample([], 4).length, 0);
});

test("no peak of hours is lost", () => {
  const peaks = new Uint8Array(2 * 3600 * 20);
  peaks[100_003] = 255;
  const drawn = downsample(peaks);
  assert.equal(drawn.length, 4000);
  assert.deepEqual([drawn.indexOf(1), drawn.filter(Boolean).length], [Math.floor((100_003 * 4000) / peaks.length), 1]);
});

const word = (start) => ({ start, end: start + 0.5 });
const SEGMENTS = [
  { start: 1, end: 3, words: [word(1), word(2), word(2)] },
  { start: 3, end: 4, words: [] },
  { start: 10, end: 12, words: [word(11)] },
];

test("the place at a time is the last segment and word that began", () => {
  const place = (time) => Object.values(placeAt(SEGMENTS, time));
  assert.deepEqual([0, 1, 1.9, 2.7, 3, 3.9, 10.5, 11].map(place),
    [[-1, -1], [0, 0], [0, 0], [0, 2], [1, -1], [1, -1], [2, -1], [2, 0]]);
});

test("nothing is marked in silence, but shortly behind a segment", () => {
  assert.deepEqual(placeAt(SEGMENTS, 4.5), { segment: 1, word: -1 });
  assert.deepEqual(placeAt(SEGMENTS, 7), { segment: -1, word: -1 });
  assert.equal(lastStarted([], 1), -1);
});

test("recordings may take two gigabytes, or 60 % of the browser's quota", () => {
  assert.equal(limitOf(null), DEFAULT_LIMIT_BYTES);
  assert.equal(limitOf({ quota: 0 }), DEFAULT_LIMIT_BYTES);
  assert.equal(limitOf({ quota: 1000 }), 600);
  assert.equal(limitOf({ quota: 1e12 }), DEFAULT_LIMIT_BYTES);
});

test("the oldest recordings are evicted, as few as are needed", () => {
  const kept = [
    { id: "new", size: 40, savedAt: 3 },
    { id: "old", size: 30, savedAt: 1 },
    { id: "mid", size: 20, savedAt: 2 },
  ];
  assert.deepEqual(chooseEvicted(kept, 10, 100), []);
  assert.deepEqual(chooseEvicted(kept, 11, 100), ["old"]);
  assert.deepEqual(chooseEvicted(kept, 60, 100), ["old", "mid"]);
  assert.deepEqual(chooseEvicted(kept, 100, 100), ["old", "mid", "new"]);
  assert.equal(chooseEvicted(kept, 101, 100), null);
});
