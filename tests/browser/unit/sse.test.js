// The parser of server-sent events: whole events, wherever the response is cut.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createSseParser } from "../types/app/api/sse.js";

/** @param {string[]} pieces */
function parse(pieces) {
  /** @type {string[]} */
  const events = [];
  const push = createSseParser((data) => events.push(data));
  for (const piece of pieces) push(piece);
  return events;
}

test("an event is given when its empty line has come, and not before", () => {
  assert.deepEqual(parse(['data: {"a":1}\n']), []);
  assert.deepEqual(parse(['data: {"a":1}\n', "\n"]), ['{"a":1}']);
});

test("a response cut at any place gives the same events", () => {
  const text =
    'data: {"delta":"Grüße 字"}\n\n: working\n\ndata: one\ndata: two\n\ndata:x\r\n\r\ndata: y\r\rdata: last\n\n';
  const whole = parse([text]);
  assert.deepEqual(whole, ['{"delta":"Grüße 字"}', "one\ntwo", "x", "y", "last"]);
  for (let cut = 0; cut <= text.length; cut += 1) {
    assert.deepEqual(parse([text.slice(0, cut), text.slice(cut)]), whole, `cut at ${cut}`);
  }
  assert.deepEqual(parse([...text]), whole, "letter by letter");
});

test("comments, other fields and events without data are skipped", () => {
  assert.deepEqual(parse([": working\n\nevent: x\nid: 3\n\nretry: 10\ndata: y\n\n"]), ["y"]);
});

test("one space after the colon is dropped and no more; a bare data is an empty line", () => {
  assert.deepEqual(parse(["data:  two\n\n", "data\ndata: b\n\n"]), [" two", "\nb"]);
});

test("a byte order mark before the first event is no part of it", () => {
  assert.deepEqual(parse(["\uFEFFdata: a\n\n"]), ["a"]);
});
