// Edits of a document: times of words, undo, speakers, finding, and two tabs at once.
import assert from "node:assert/strict";
import test from "node:test";

const APP = new URL("../../../neuron_whisper/server/web/static/app/transcript/", import.meta.url);
const edits = await import(new URL("edits.js", APP));
const { findAll, matchFrom, replaceAll, replaceOne } = await import(new URL("find.js", APP));
const { mergeDocuments } = await import(new URL("merge.js", APP));
const { displayText, editSegment, fromResponse } = await import(new URL("model.js", APP));
const { retimeWords } = await import(new URL("retime.js", APP));
const { colourOf, nameOf, speakersOf } = await import(new URL("speakerNames.js", APP));
const { assignWords, piecesOf } = await import(new URL("words.js", APP));
const { setText, setTexts, startHistory, undo, redo } = edits;

/** Words of a second each, from 0 on, as Whisper has them: with a space in front. */
function makeSegment(...words) {
  return {
    text: words.join(""),
    start: 0,
    end: words.length,
    words: words.map((word, at) => ({ word: word.trim(), start: at, end: at + 1, probability: 0.9 })),
  };
}

function makeDocument(...texts) {
  const segments = texts.map((text, id) => ({ id, start: id, end: id + 1, text: ` ${text}`, speaker: `S${id % 2}` }));
  return fromResponse(JSON.stringify({ text: texts.join(" "), segments }), { fileName: "a.wav", id: "a", now: 0 });
}

const timesOf = (segment, text) => retimeWords(segment, text).map(({ word, start, end }) => [word, start, end]);

// ---- times

test("words that stay keep times and probability, a word in place of another takes its time", () => {
  const words = retimeWords(makeSegment(" the", " cat", " sat"), "the dog sat");
  assert.deepEqual(words, [
    { word: "the", start: 0, end: 1, probability: 0.9 },
    { word: "dog", start: 1, end: 2 },
    { word: "sat", start: 2, end: 3, probability: 0.9 },
  ]);
});

test("punctuation and case leave a word's probability", () => {
  const [word] = retimeWords(makeSegment(" hello"), "Hello,");
  assert.deepEqual(word, { word: "Hello,", start: 0, end: 1, probability: 0.9 });
});

test("words in place of fewer or more share their time by length", () => {
  assert.deepEqual(timesOf(makeSegment(" a", " xyz", " b"), "a ab cdef b"),
    [["a", 0, 1], ["ab", 1, 1.333], ["cdef", 1.333, 2], ["b", 2, 3]]);
  assert.deepEqual(timesOf(makeSegment(" a", " one", " two", " b"), "a 12 b"),
    [["a", 0, 1], ["12", 1, 3], ["b", 3, 4]]);
});

test("a word between two others gets the time between them", () => {
  const segment = makeSegment(" a", " b");
  segment.words[1] = { word: "b", start: 1.5, end: 2 };
  assert.deepEqual(timesOf(segment, "a new b"), [["a", 0, 1], ["new", 1, 1.5], ["b", 1.5, 2]]);
});

test("words before the first and behind the last get the time to the segment's ends", () => {
  const segment = { ...makeSegment(" a"), start: -1, end: 3 };
  assert.deepEqual(timesOf(segment, "so a then"), [["so", -1, 0], ["a", 0, 1], ["then", 1, 3]]);
});

test("words written together stay apart where they were", () => {
  const segment = makeSegment(" re", "-entry", " now");
  assert.deepEqual(timesOf(segment, "re-entry soon"), [["re", 0, 1], ["-entry", 1, 2], ["soon", 2, 3]]);
});

test("text without spaces keeps the words it had", () => {
  const segment = makeSegment("今日", "は", "良い", "天気");
  assert.deepEqual(timesOf(segment, "今日は悪い天気"), [["今日", 0, 1], ["は", 1, 2], ["悪い", 2, 3], ["天気", 3, 4]]);
  assert.deepEqual(timesOf(segment, "今日良い天気"), [["今日", 0, 1], ["良い", 2, 3], ["天気", 3, 4]]);
});

test("times never go back, whatever was typed", () => {
  const segment = makeSegment(" a", " b", " a", " c");
  for (const text of ["c a b a", "", "a", "x y z a b a c d", "a a a a a a", "b  b\tb", "c", "a b a c"]) {
    const times = timesOf(segment, text).flatMap(([, start, end]) => [start, end]);
    assert.deepEqual([...times].sort((one, other) => one - other), times, text);
    assert.equal(timesOf(segment, text).map(([word]) => word).join(" "), text.trim().split(/\s+/).join(" "));
  }
});

test("a segment without words stays without", () => {
  assert.deepEqual(retimeWords({ text: " a", words: [], start: 0, end: 1 }, "b"), []);
});

test("letters typed one after another end with the same times as typed at once", () => {
  const segment = { id: 0, ...makeSegment(" the", " cat", " sat") };
  const atOnce = editSegment(segment, "the cats sat");
  const typed = ["the cat", "the ca", "the cats", "the cats s", "the cats sat"].reduce(editSegment, segment);
  assert.deepEqual(typed, atOnce);
});

// ---- words of segments

test("a response's words are divided by the letters of its segments", () => {
  const words = ["a", "b", "c", "d"].map((word, at) => ({ word, start: at, end: at + 1 }));
  const texts = [" a b", "", " c d"].map((text, at) => ({ text, start: 9 * at, end: 9 * at + 9 }));
  const ranges = assignWords(texts, words);
  assert.deepEqual(ranges, [[0, 2], [2, 2], [2, 4]]);
});

test("words that are not in the text are divided by time", () => {
  const words = ["x", "y", "z"].map((word, at) => ({ word, start: at, end: at + 1 }));
  const segments = [{ text: " a", start: 0, end: 2 }, { text: " b", start: 2, end: 3 }];
  assert.deepEqual(assignWords(segments, words), [[0, 2], [2, 3]]);
});

test("pieces joined are the shown text, whether the words are in it or not", () => {
  const pieces = piecesOf(" Hello,\nyou  two", [{ word: "Hello," }, { word: "gone" }, { word: "two" }, { word: "" }]);
  assert.deepEqual(pieces, [{ text: "Hello,", word: 0 }, { text: " you  ", word: -1 }, { text: "two", word: 2 }]);
});

// ---- undo

test("typing without a pause is one step, a pause or another segment begins the next", () => {
  let history = startHistory(makeDocument("one", "two"));
  history = setText(history, 0, "o", 1000);
  history = setText(history, 0, "on", 1100);
  history = setText(history, 0, "once", 9000);
  history = setText(history, 1, "twice", 9100);
  assert.equal(history.past.length, 3);
  const texts = [];
  for (; history.past.length; history = undo(history)) texts.push(history.document.segments.map(displayText).join("|"));
  assert.deepEqual(texts, ["once|twice", "once|two", "on|two"]);
  history = redo(redo(redo(redo(history))));
  assert.deepEqual(history.document.segments.map(displayText), ["once", "twice"]);
});

test("undo of everything gives the very segments that were heard", () => {
  const document = makeDocument("one", "two");
  let history = setTexts(startHistory(document), new Map([[0, "1"], [1, "2"]]));
  assert.equal(history.past.length, 1);
  history = undo(edits.renameSpeaker(history, "S0", "Ann"));
  assert.deepEqual(undo(history).document.segments, document.segments);
});

test("an edit after undo ends what could be redone", () => {
  const history = setText(undo(setText(startHistory(makeDocument("one")), 0, "1", 0)), 0, "I", 0);
  assert.equal(history.future.length, 0);
  assert.equal(redo(history), history);
});

test("what changes nothing is no step", () => {
  const history = startHistory(makeDocument("one"));
  assert.equal(setText(history, 0, " one\n"), history);
  assert.equal(edits.renameSpeaker(history, "S0", " "), history);
  assert.equal(edits.setSpeaker(history, 0, "S0"), history);
  assert.equal(undo(history), history);
});

// ---- speakers

test("a name changes for all segments of a speaker, and goes when it is emptied", () => {
  let history = startHistory(makeDocument("one", "two", "three"));
  for (const name of ["A", "An", "Ann"]) history = edits.renameSpeaker(history, "S0", name, 0);
  assert.equal(history.past.length, 1);
  assert.equal(nameOf(history.document, "S0"), "Ann");
  assert.equal(nameOf(history.document, "S1"), "S1");
  assert.deepEqual(edits.renameSpeaker(history, "S0", "").document.speakers, {});
  assert.deepEqual(undo(history).document.speakers, {});
});

test("speakers keep their colours when a segment is given to another", () => {
  const document = makeDocument("one", "two");
  const { document: given } = edits.setSpeaker(startHistory(document), 0, "S1");
  assert.deepEqual(speakersOf(given), ["S0", "S1"]);
  assert.deepEqual(speakersOf(given).map((id) => colourOf(speakersOf(given), id)), ["speaker-1", "speaker-2"]);
  const { document: back } = edits.setSpeaker(startHistory(given), 0, "S0");
  assert.deepEqual(back.segments[0], document.segments[0]);
});

// ---- find

test("places are found in order, without and with case, as plain text", () => {
  const document = makeDocument("A.b a.b", "axb", "ÄA.B");
  assert.deepEqual(findAll(document, "a.b"), [
    { index: 0, start: 0, end: 3 },
    { index: 0, start: 4, end: 7 },
    { index: 2, start: 1, end: 4 },
  ]);
  assert.deepEqual(findAll(document, "a.b", { matchCase: true }), [{ index: 0, start: 4, end: 7 }]);
  assert.deepEqual(findAll(document, "ä"), [{ index: 2, start: 0, end: 1 }]);
  assert.deepEqual(findAll(document, ""), []);
  assert.equal(matchFrom(findAll(document, "a.b"), { index: 0, start: 1 }), 1);
  assert.equal(matchFrom(findAll(document, "a.b"), { index: 2, start: 2 }), 0);
});

test("every character of a pattern's language is found as itself", () => {
  const signs = "\\^$.*+?()[]{}|/-#";
  assert.equal(findAll(makeDocument(signs), signs).length, 1);
});

test("what is found is replaced as it is written, one or all", () => {
  const document = makeDocument("one two one", "two");
  assert.deepEqual([...replaceAll(document, "one", "$& $1 1")], [[0, "$& $1 1 two $& $1 1"]]);
  assert.equal(replaceOne(document, { index: 0, start: 8, end: 11 }, "3"), "one two 3");
});

// ---- two tabs

const edited = (document, ...changes) =>
  changes.reduce((history, [index, text]) => setText(history, index, text), startHistory(document)).document;

test("what two tabs changed in different segments is all there", () => {
  const base = makeDocument("one", "two", "three");
  const theirs = { ...edited(base, [1, "2"]), revision: 7 };
  const { document, conflicts } = mergeDocuments(base, edited(base, [0, "1"]), theirs);
  assert.deepEqual(document.segments.map(displayText), ["1", "2", "three"]);
  assert.deepEqual([document.revision, conflicts], [7, []]);
});

test("a segment that both changed keeps mine and tells theirs, the same text is no conflict", () => {
  const base = makeDocument("one", "two");
  const theirs = edited(base, [0, "uno"], [1, "2"]);
  const { document, conflicts } = mergeDocuments(base, edited(base, [0, "eins"], [1, "2"]), theirs);
  assert.deepEqual(document.segments.map(displayText), ["eins", "2"]);
  assert.deepEqual(conflicts, [{ index: 0, theirs: "uno" }]);
});

test("names of speakers given in two tabs are joined", () => {
  const base = { ...makeDocument("one", "two"), speakers: { S0: "Ann" } };
  const mine = { ...base, speakers: { S1: "Bo" } };
  const { document } = mergeDocuments(base, mine, { ...base, speakers: { S0: "Ann", S2: "Cy" } });
  assert.deepEqual(document.speakers, { S1: "Bo", S2: "Cy" });
});

test("what another tab saved is a step that can be undone", () => {
  const document = makeDocument("one", "two");
  const history = setText(startHistory(document), 0, "1");
  const taken = edits.takeDocument(history, { ...edited(history.document, [1, "2"]), revision: 3 });
  assert.deepEqual(taken.document.segments.map(displayText), ["1", "2"]);
  assert.deepEqual(undo(taken).document.segments.map(displayText), ["1", "two"]);
  assert.equal(undo(taken).document.revision, 3);
});
