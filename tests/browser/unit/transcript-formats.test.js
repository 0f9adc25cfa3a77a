// Exports of a document: the API's bytes while nothing was edited, and edits in their place.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const APP = new URL("../../../neuron_whisper/server/web/static/app/transcript/", import.meta.url);
const { renameSpeaker, setSpeaker, setText, startHistory, undo } = await import(new URL("edits.js", APP));
const { exportDocument, exportName, toMilliseconds, writeTime } = await import(new URL("formats.js", APP));
const { addSegments, growing, startDocument } = await import(new URL("growing.js", APP));
const { elementsOf, membersOf, writeFloat, writeJson } = await import(new URL("json.js", APP));
const { fromResponse, isEdited } = await import(new URL("model.js", APP));

/** Made by tests/support/browser_fixtures.py. */
const CASES = JSON.parse(readFileSync(new URL("../fixtures/formats.json", import.meta.url), "utf8"));
const ABOUT = { fileName: "talk.mp3", id: "a", now: 0 };
const caseOf = (name) => CASES.find((it) => it.name === name);
const QUOTE = caseOf("two segments of words");

const SPEAKERS = JSON.stringify({
  task: "transcribe",
  language: "english",
  duration: 4,
  text: "Hello. Hi & welcome. Bye.",
  segments: [
    { id: 0, start: 0, end: 1, text: " Hello.", speaker: "SPEAKER_00" },
    { id: 1, start: 1, end: 2, text: " Hi & welcome.", speaker: "SPEAKER_01" },
    { id: 2, start: 2, end: 3, text: " Bye.", speaker: "SPEAKER_01" },
  ],
});

for (const { name, verbose_json: body, done, text, srt, vtt } of CASES) {
  for (const [from, response] of [["a response", body], ["the last event of a stream", done]]) {
    test(`exports of ${from} with ${name} are the API's bytes`, () => {
      const document = fromResponse(response, ABOUT);
      assert.equal(exportDocument(document, "json"), body);
      assert.equal(exportDocument(document, "txt"), text);
      assert.equal(exportDocument(document, "srt"), srt);
      assert.equal(exportDocument(document, "vtt"), vtt);
    });
  }

  test(`an edit of ${name} that is undone leaves the API's bytes`, () => {
    let history = startHistory(fromResponse(body, ABOUT));
    const count = history.document.segments.length;
    for (let index = 0; index < count; index++) history = setText(history, index, "x", index * 1e6);
    while (history.past.length) history = undo(history);
    assert.equal(exportDocument(history.document, "json"), body);
    assert.equal(exportDocument(history.document, "txt"), text);
  });

  test(`${name} typed anew as it was is not an edit`, () => {
    let history = startHistory(fromResponse(body, ABOUT));
    for (const [index, segment] of history.document.segments.entries()) {
      history = setText(setText(history, index, "x"), index, segment.text);
    }
    assert.equal(isEdited(history.document), false);
    assert.equal(exportDocument(history.document, "json"), body);
  });

  test(`${name} as a parsed object gives the same numbers where their members are known`, () => {
    assert.equal(exportDocument(fromResponse(JSON.parse(body), ABOUT), "json"), body);
  });
}

test("white space and unknown members of a response stay as they came", () => {
  const segments = '[ {"id": 0, "start": 1.50, "end": 2e0, "text": "a", "new": [1.0, {}]} ]';
  const response = `{ "text" : "a", "segments" : ${segments} }`;
  const expected = `{"text":"a","segments":${segments}}`;
  assert.equal(exportDocument(fromResponse(response, ABOUT), "json"), expected);
});

test("an edited segment alone is written anew", () => {
  const history = setText(startHistory(fromResponse(QUOTE.verbose_json, ABOUT)), 1, "must do for you.");
  const body = JSON.parse(exportDocument(history.document, "json"));
  const before = JSON.parse(QUOTE.verbose_json);
  assert.equal(body.text, "Ask not what your country must do for you.");
  assert.deepEqual(body.segments[0], before.segments[0]);
  assert.deepEqual(body.segments[1], { ...before.segments[1], text: " must do for you.", tokens: [] });
  assert.deepEqual(body.words.slice(0, 5), before.words.slice(0, 5));
  assert.deepEqual(body.words[5], { word: "must", start: 2.5, end: 2.9 });
  assert.deepEqual(body.words.slice(6), before.words.slice(6));
  assert.match(exportDocument(history.document, "json"), /"start":2\.5,"end":4\.4,"text":" must do for you\."/);
  assert.equal(exportDocument(history.document, "txt"), "Ask not what your country must do for you.\n");
  assert.match(exportDocument(history.document, "srt"), /must do for you\./);
  assert.match(exportDocument(history.document, "vtt"), /must do for you\./);
});

test("a segment whose text was deleted is in no subtitle and in no text", () => {
  const { document } = setText(startHistory(fromResponse(QUOTE.verbose_json, ABOUT)), 0, " ");
  assert.equal(exportDocument(document, "txt"), "can do for you.\n");
  assert.equal(exportDocument(document, "srt"), "1\n00:00:02,500 --> 00:00:04,400\ncan do for you.\n\n");
  assert.equal(JSON.parse(exportDocument(document, "json")).words.length, 4);
});

test("speakers are in front of turns and subtitles, by the names they have", () => {
  const { document } = renameSpeaker(startHistory(fromResponse(SPEAKERS, ABOUT)), "SPEAKER_01", "Eve <3");
  assert.equal(exportDocument(document, "txt"), "SPEAKER_00: Hello.\nEve <3: Hi & welcome. Bye.\n");
  assert.match(exportDocument(document, "srt"), /2\n00:00:01,000 --> 00:00:02,000\nEve <3: Hi & welcome\.\n/);
  assert.match(exportDocument(document, "vtt"), /\n<v Eve &lt;3>Hi &amp; welcome\.\n/);
  const speakers = JSON.parse(exportDocument(document, "json")).segments.map(({ speaker }) => speaker);
  assert.deepEqual(speakers, ["SPEAKER_00", "Eve <3", "Eve <3"]);
});

test("a segment that was given to another speaker keeps its text and words in the export", () => {
  const { document } = setSpeaker(startHistory(fromResponse(SPEAKERS, ABOUT)), 2, "SPEAKER_00");
  const [, second, third] = JSON.parse(exportDocument(document, "json")).segments;
  assert.deepEqual([second.speaker, third.speaker, third.text], ["SPEAKER_01", "SPEAKER_00", " Bye."]);
});

test("a document that grows by a stream's events has their segments and words", () => {
  const [segment] = JSON.parse(QUOTE.verbose_json).segments;
  const words = JSON.parse(QUOTE.verbose_json).words.slice(0, 5);
  let document = startDocument(ABOUT);
  document = growing(document, { type: "transcript.peaks", peaks: [] });
  document = growing(document, { type: "transcript.text.delta", delta: "Ask not", segment, words });
  assert.deepEqual(document.segments.map(({ text }) => text), [" Ask not what your country"]);
  assert.deepEqual(document.segments[0].words, words);
  assert.equal(document.duration, 2.4);
  assert.equal(addSegments(document, [segment]).segments.length, 2);
  assert.equal(JSON.parse(exportDocument(document, "json")).text, "Ask not what your country");
});

test("a response of words alone is divided at pauses", () => {
  const words = [["a", 0, 1], ["b", 1, 2], ["c", 4, 5]].map(([word, start, end]) => ({ word, start, end }));
  const document = fromResponse(JSON.stringify({ text: "a b c", duration: 5.0, words }), ABOUT);
  assert.deepEqual(document.segments.map(({ text, start, end }) => [text, start, end]), [[" a b", 0, 2], [" c", 4, 5]]);
});

test("a file's name loses its last extension", () => {
  const name = (fileName) => exportName({ fileName }, "srt");
  assert.deepEqual(["talk.v2.mp3", "talk", ".hidden", "a/b\\c.wav", ""].map(name),
    ["talk.v2.srt", "talk.srt", ".hidden.srt", "a_b_c.srt", "transcript.srt"]);
});

test("milliseconds are rounded as the server does, halves to the even one", () => {
  assert.deepEqual([0.0005, 0.0015, 0.0025, 1.0005, -0.02, 360000].map(toMilliseconds), [0, 2, 2, 1000, 0, 360000000]);
  assert.equal(writeTime(3661.5, ".", false), "01:01:01.500");
  assert.equal(writeTime(360000, ",", true), "100:00:00,000");
});

test("floats are written with a point, small and large ones with an exponent", () => {
  const written = [5, 0, -0, 0.1, 1e-5, 1.234e-6, 1e16, 1e15, 2.5e21, -3].map(writeFloat);
  assert.deepEqual(written,
    ["5.0", "0.0", "-0.0", "0.1", "0.00001", "1.234e-6", "1e16", "1000000000000000.0", "2.5e21", "-3.0"]);
});

test("slices of JSON end where the text does, whatever strings hold", () => {
  const members = membersOf('{"a\\"{": "]}\\\\", "b": [1, {"c": ","}]}');
  assert.deepEqual(members, [['a"{', '"]}\\\\"'], ["b", '[1, {"c": ","}]']]);
  assert.deepEqual(elementsOf("[]"), []);
  assert.deepEqual(elementsOf('[1,[2,3],"4,"]'), ["1", "[2,3]", '"4,"']);
  assert.equal(writeJson({ start: 1, id: 1, gone: undefined }), '{"start":1.0,"id":1}');
});
