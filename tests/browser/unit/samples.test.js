// Which samples are offered.
import assert from "node:assert/strict";
import { test } from "node:test";
import { pickSamples, splitName } from "../types/app/transcribe/pickSamples.js";

const samplesOf = (...names) => names.map((name) => ({ name, url: `samples/${name}` }));
const pick = (most, ...names) => pickSamples(samplesOf(...names), most).map(({ name }) => name);

test("one of each language comes first, and the order is the list's", () => {
  assert.deepEqual(pick(3, "de_a.ogg", "de_b.ogg", "en_c.wav", "en_d.wav", "ja_e.wav"), [
    "de_a.ogg",
    "en_c.wav",
    "ja_e.wav",
  ]);
  assert.deepEqual(pick(3, "de_a.ogg", "de_b.ogg", "en_c.wav"), ["de_a.ogg", "de_b.ogg", "en_c.wav"]);
});

test("fewer than the most are all there, and none is none", () => {
  assert.deepEqual(pick(4, "talk.wav", "call.wav"), ["talk.wav", "call.wav"]);
  assert.deepEqual(pick(4), []);
});

test("a name may have a language before it, and only a code of two letters is one", () => {
  assert.deepEqual(splitName("de_fleurs-de-000.ogg"), ["de", "fleurs-de-000"]);
  assert.deepEqual(splitName("interview.final.mp3"), ["", "interview.final"]);
  assert.deepEqual(splitName("a_b.wav"), ["", "a_b"]);
});
