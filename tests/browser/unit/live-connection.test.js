// The connection is tried again with growing pauses, not for ever, and not where that cannot help; what was said while
// it was down is sent again from the right sample.
import assert from "node:assert/strict";
import test from "node:test";

const APP = new URL("../../../neuron_whisper/server/web/static/app/live/", import.meta.url);
const { findDelay, MAX_TRIES, nextConnection, NOT_CONNECTED } = await import(new URL("connection.js", APP));
const { createBacklog, findReplay } = await import(new URL("backlog.js", APP));
const { buildProtocols, buildStreamUrl } = await import(new URL("address.js", APP));
const { explainClose } = await import(new URL("problems.js", APP));

const dropped = (now, problem = { code: "lost" }, random = 0) => ({ type: "dropped", now, random, problem });
const run = (events, state = NOT_CONNECTED) => events.reduce(nextConnection, state);

test("a drop is tried again at once, then with pauses that double up to ten seconds", () => {
  const delays = Array.from({ length: MAX_TRIES }, (_, index) => findDelay(index + 1, 0));
  assert.deepEqual(delays, [500, 1000, 2000, 4000, 8000, 10000, 10000, 10000]);
});

test("chance makes a pause shorter by a quarter at most, and never shorter than the server asked for", () => {
  assert.equal(findDelay(5, 1), 6000);
  assert.equal(findDelay(1, 1, 5), 5000);
});

test("a drop leads to a try at its time, and a connection that opens forgets the problem", () => {
  const waiting = run([{ type: "connect" }, { type: "ready", now: 1000 }, dropped(2000)]);
  assert.deepEqual([waiting.phase, waiting.retryAt, waiting.problem.code], ["waiting", 2500, "lost"]);
  const open = run([{ type: "connect" }, { type: "ready", now: 3000 }], waiting);
  assert.deepEqual([open.phase, open.problem], ["open", null]);
});

test("a connection that opens and drops again and again is not tried for ever", () => {
  let state = NOT_CONNECTED;
  let tries = 0;
  for (; state.phase !== "stopped"; tries += 1) {
    state = run([{ type: "connect" }, { type: "ready", now: tries * 1000 }, dropped(tries * 1000 + 500)], state);
  }
  assert.equal(tries, MAX_TRIES + 1);
});

test("a connection that held for ten seconds counts as recovered", () => {
  const flaky = run([{ type: "connect" }, dropped(0), { type: "connect" }, dropped(0), { type: "connect" }]);
  assert.equal(flaky.tries, 2);
  assert.equal(run([{ type: "ready", now: 0 }, dropped(9_999)], flaky).tries, 3);
  assert.equal(run([{ type: "ready", now: 0 }, dropped(10_000)], flaky).tries, 1);
});

test("a problem that only a person can solve stops the tries at once; a person begins them anew", () => {
  const stopped = run([{ type: "connect" }, dropped(0, { code: "key_wrong", isFinal: true })]);
  assert.deepEqual([stopped.phase, stopped.problem.code], ["stopped", "key_wrong"]);
  assert.equal(run([{ type: "connect" }, dropped(0)], stopped).tries, 1);
});

test("the end of a session leaves nothing behind", () => {
  assert.deepEqual(run([{ type: "connect" }, dropped(0), { type: "closed" }]), { ...NOT_CONNECTED, phase: "closed" });
});

test("close codes tell why an open connection ended", () => {
  assert.equal(explainClose(1006, null).code, "lost");
  assert.equal(explainClose(1001, null).code, "restarting");
  assert.equal(explainClose(1013, { message: "no capacity" }).code, "server_failed");
  const revoked = explainClose(1008, { code: "invalid_api_key", message: "m" });
  assert.deepEqual(revoked, { code: "key_wrong", isFinal: true });
  assert.equal(explainClose(1008, { code: "missing", message: "send one" }).code, "idle");
});

// ---- what is sent again

const pieces = (count, length = 1600) => Array.from({ length: count }, (_, at) => new Int16Array(length).fill(at + 1));

function fill(backlog, list) {
  for (const piece of list) backlog.push(piece);
  return backlog;
}

test("what was said is read from any sample on, once each", () => {
  const backlog = fill(createBacklog(1e6), pieces(3, 4));
  const read = [];
  for (let at = 2, piece = backlog.read(at); piece; at += piece.length, piece = backlog.read(at)) read.push(...piece);
  assert.deepEqual(read, [1, 1, 2, 2, 2, 2, 3, 3, 3, 3]);
  assert.equal(backlog.read(12), null);
});

test("what has its final text is forgotten, within a piece too", () => {
  const backlog = fill(createBacklog(1e6), pieces(3, 4));
  backlog.settle(6);
  assert.deepEqual([backlog.start, backlog.end], [6, 12]);
  assert.deepEqual([...backlog.read(6)], [2, 2]);
  backlog.settle(3); // never back
  assert.equal(backlog.start, 6);
  backlog.settle(99); // never beyond what was said
  assert.deepEqual([backlog.start, backlog.end, backlog.read(12)], [12, 12, null]);
});

test("the backlog is bounded: the oldest is given up", () => {
  const backlog = fill(createBacklog(10), pieces(5, 4));
  assert.deepEqual([backlog.start, backlog.end], [10, 20]);
});

test("a new connection begins at the end of the last final text", () => {
  const backlog = fill(createBacklog(1e6), pieces(10));
  assert.deepEqual(findReplay(backlog, { settled: 5000, heard: 9000, isOpen: true }), { from: 5000, gap: null });
});

test("speech that was given up before the server heard it is a gap", () => {
  const backlog = { start: 8000 };
  const open = { settled: 5000, heard: 9000, isOpen: true };
  assert.deepEqual(findReplay(backlog, open), { from: 8000, gap: { start: 5000, end: 8000 } });
  const unheard = { settled: 1000, heard: 6000, isOpen: false };
  assert.deepEqual(findReplay(backlog, unheard), { from: 8000, gap: { start: 6000, end: 8000 } });
});

test("silence that the server had heard is no gap", () => {
  const progress = { settled: 1000, heard: 9000, isOpen: false };
  assert.deepEqual(findReplay({ start: 8000 }, progress), { from: 8000, gap: null });
});

// ---- the address

test("the socket's address is that of the page, by its scheme and below its prefix", () => {
  const at = (base, more = {}) => buildStreamUrl(base, { rate: 16000, ...more });
  assert.equal(at("http://host:8000/"), "ws://host:8000/v1/audio/stream?sample_rate=16000&words=true");
  assert.match(at("https://host/stt/#live"), /^wss:\/\/host\/stt\/v1\/audio\/stream\?/);
  const all = new URL(at("http://h/", { model: "tiny.en", language: "en", prompt: " Ö & Söhne " })).searchParams;
  assert.deepEqual([all.get("model"), all.get("language"), all.get("prompt")], ["tiny.en", "en", "Ö & Söhne"]);
  assert.equal(new URL(at("http://h/", { model: "", language: "", prompt: " " })).searchParams.has("prompt"), false);
});

test("the key goes by a subprotocol, and without a key there is none", () => {
  assert.deepEqual(buildProtocols("nw-abc"), ["realtime", "openai-insecure-api-key.nw-abc"]);
  assert.deepEqual(buildProtocols(""), []);
});
