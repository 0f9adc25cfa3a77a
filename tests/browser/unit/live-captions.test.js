// Messages of the socket become captions; over a lost connection nothing is lost and nothing doubled.
import assert from "node:assert/strict";
import test from "node:test";

const APP = new URL("../../../neuron_whisper/server/web/static/app/live/", import.meta.url);
const { addGap, markStale, NO_CAPTIONS, settleAll, takeMessage } = await import(new URL("captions.js", APP));
const { buildTranscript } = await import(new URL("document.js", APP));

const FIRST = { id: 1, offset: 0 };
const SECOND = { id: 2, offset: 10.5 };
const started = (utterance, start) => ({ type: "speech_started", utterance, start });
const partial = (utterance, start, end, stable, unstable = "") => {
  return { type: "partial", utterance, start, end, stable, unstable };
};
const final = (utterance, start, end, text, more = {}) => ({
  ...{ type: "final", utterance, start, end, text, language: "en" },
  segments: text ? [{ start, end, text, words: [{ word: text, start, end, probability: 0.9 }] }] : [],
  ...more,
});
const take = (messages, source = FIRST, captions = NO_CAPTIONS) =>
  messages.reduce((state, message) => takeMessage(state, message, source), captions);
const texts = (captions) => captions.lines.map((line) => line.text);

test("partial text grows, and gives way to the final text of its utterance", () => {
  const growing = take([started(0, 0.2), partial(0, 0.2, 1, "Hello", " word"), partial(0, 0.2, 1.5, "Hello world")]);
  const [{ stable, unstable, end }] = growing.pending;
  assert.deepEqual([growing.pending.length, stable, unstable, end], [1, "Hello world", "", 1.5]);
  assert.deepEqual(growing.lines, []);
  const ended = take([final(0, 0.2, 1.8, "Hello, world.")], FIRST, growing);
  assert.deepEqual(ended.pending, []);
  assert.deepEqual(texts(ended), ["Hello, world."]);
  assert.deepEqual([ended.lines[0].kind, ended.lines[0].start, ended.lines[0].end], ["text", 0.2, 1.8]);
  assert.equal(ended.settled, 1.8);
});

test("an utterance that begins before the last one has its text stands after it", () => {
  const both = take([started(0, 0), partial(0, 0, 1, "One"), started(1, 2), partial(1, 2, 3, "Two")]);
  assert.deepEqual(both.pending.map(({ stable }) => stable), ["One", "Two"]);
  const first = take([final(0, 0, 1.2, "One.")], FIRST, both);
  assert.deepEqual(first.pending.map(({ stable }) => stable), ["Two"]);
  assert.equal(first.settled, 1.2);
});

test("an utterance in which nothing was said leaves no line, but is settled", () => {
  const captions = take([started(0, 1), final(0, 1, 2, "")]);
  assert.deepEqual([captions.lines, captions.pending, captions.settled], [[], [], 2]);
});

test("times of a later connection begin where its first sample lies, in segments and words too", () => {
  const captions = take([final(0, 0.1, 2.1, "Again.")], SECOND);
  assert.deepEqual([captions.lines[0].start, captions.lines[0].end], [10.6, 12.6]);
  const [segment] = captions.lines[0].segments;
  assert.deepEqual([segment.start, segment.end], [10.6, 12.6]);
  assert.deepEqual([segment.words[0].start, segment.words[0].end], [10.6, 12.6]);
  assert.equal(segment.words[0].probability, 0.9);
});

test("text of a lost connection stays in view until the next has heard it again, and is there once", () => {
  const said = [final(0, 0, 10.5, "Before."), started(1, 11), partial(1, 11, 13, "What was", " said")];
  const lost = markStale(take(said));
  assert.deepEqual(lost.pending.map(({ stable, isStale }) => [stable, isStale]), [["What was", true]]);
  const heard = take([started(0, 0.5)], SECOND, lost);
  assert.equal(heard.pending.filter(({ isStale }) => isStale).length, 1, "no text came yet");
  const again = take([partial(0, 0.5, 1.5, "What", "")], SECOND, heard);
  assert.deepEqual(again.pending.map(({ stable, isStale }) => [stable, isStale]), [["What", false]]);
  assert.deepEqual(texts(take([final(0, 0.5, 3, "What was said.")], SECOND, again)), ["Before.", "What was said."]);
});

test("the same utterance number of another connection is another utterance", () => {
  const lost = markStale(take([started(0, 0), partial(0, 0, 1, "Old")]));
  const captions = take([started(0, 5)], { id: 2, offset: 1 }, lost);
  assert.equal(captions.pending.length, 2);
});

test("a failed utterance is told with its time and its reason, and is settled", () => {
  const captions = take([
    started(0, 1),
    { type: "speech_stopped", utterance: 0, end: 4 },
    { type: "failed", utterance: 0, error: { message: "the device failed" } },
  ]);
  const [{ kind, start, end, text }] = captions.lines;
  assert.deepEqual([kind, start, end, text, captions.settled], ["failed", 1, 4, "the device failed", 4]);
});

test("messages that are no captions change nothing", () => {
  for (const type of ["ready", "closed", "error", "what comes one day"]) {
    assert.equal(takeMessage(NO_CAPTIONS, { type }, FIRST), NO_CAPTIONS);
  }
});

test("after the last text all is settled, and nothing stays in progress", () => {
  const captions = settleAll(markStale(take([started(0, 1), partial(0, 1, 2, "x")])), 9);
  assert.deepEqual([captions.pending, captions.settled], [[], 9]);
});

test("warnings are told once", () => {
  const warned = { warnings: ["the prompt was cut"] };
  assert.deepEqual(take([final(0, 0, 1, "a", warned), final(1, 1, 2, "b", warned)]).warnings, ["the prompt was cut"]);
});

test("the transcript has the API's shape: segments with a space in front, words apart, gaps as skipped", () => {
  const said = take([final(0, 0.5, 2, "One."), final(1, 3, 4, "Zwei.", { language: "de" })]);
  const body = buildTranscript(addGap(said, 5, 8), {
    duration: 9.25,
    languages: [{ code: "en", name: "English" }, { code: "de", name: "German" }],
  });
  assert.deepEqual([body.task, body.language, body.duration, body.text], ["transcribe", "english", 9.25, "One. Zwei."]);
  assert.deepEqual(body.segments.map(({ id, text, language }) => [id, text, language]), [
    [0, " One.", "english"],
    [1, " Zwei.", "german"],
  ]);
  assert.deepEqual(body.words.map(({ word, start }) => [word, start]), [["One.", 0.5], ["Zwei.", 3]]);
  assert.ok(body.segments.every((segment) => !("words" in segment)));
  assert.deepEqual(body.skipped, [{ start: 5, end: 8, reason: "not_sent", text: "" }]);
});

test("a transcript without speech is empty and has no language", () => {
  const body = buildTranscript(NO_CAPTIONS, { duration: 2, languages: [] });
  assert.deepEqual(body, { task: "transcribe", language: "", duration: 2, text: "", segments: [] });
});
