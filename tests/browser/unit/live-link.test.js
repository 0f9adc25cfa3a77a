// The link over a socket whose server is scripted: what is said while a connection ends goes to the next one, once.
import assert from "node:assert/strict";
import test from "node:test";

const APP = new URL("../../../neuron_whisper/server/web/static/app/live/", import.meta.url);

/** @type {Socket[]} */
let sockets = [];
class Socket {
  constructor(url) {
    Object.assign(this, { url, bufferedAmount: 0, sent: [], isClosed: false });
    sockets.push(this);
  }
  send(data) {
    this.sent.push(data);
  }
  close() {
    this.isClosed = true;
  }
  /** @param {Record<string, unknown>} message of the server */
  say(message) {
    this.onmessage({ data: JSON.stringify(message) });
  }
  end(code) {
    this.onclose({ code });
  }
  get samples() {
    return this.sent.filter((data) => typeof data !== "string").flatMap((piece) => [...piece]);
  }
  get hasSaidClose() {
    return this.sent.includes('{"type":"close"}');
  }
}
globalThis.WebSocket = /** @type {any} */ (Socket);
const { createLink, RATE } = await import(new URL("link.js", APP));

const READY = { type: "ready", model: "tiny.en" };
const second = (value) => new Int16Array(RATE).fill(value);
const final = (start, end, text) => ({ type: "final", utterance: 0, start, end, text, language: "en", segments: [] });

/** A link that listens, and has said `seconds` of audio: 1, 2, 3 … */
function listening(seconds) {
  sockets = [];
  const link = createLink(() => ({ url: "ws://h/v1/audio/stream", protocols: [] }));
  link.start();
  sockets[0].say(READY);
  for (let value = 1; value <= seconds; value += 1) link.push(second(value));
  return link;
}
const texts = (link) => link.store.get().captions.lines.map(({ start, text }) => [start, text]);
const phase = (link) => link.store.get().connection.phase;

test("who goes on before the last text of the pause is there hears no text twice, and loses no word", async () => {
  const link = listening(2);
  void link.finish();
  assert.ok(sockets[0].hasSaidClose);
  link.start();
  link.push(second(3));
  assert.equal(sockets.length, 1, "the connection that ends is not left behind");
  assert.ok(!sockets[0].samples.includes(3), "nothing follows a close");
  sockets[0].say(final(0.1, 1.9, "Before."));
  sockets[0].end(1000);
  assert.equal(sockets.length, 2);
  sockets[1].say(READY);
  link.push(second(4));
  assert.deepEqual([...new Set(sockets[1].samples)], [3, 4]);
  sockets[1].say(final(0.1, 1.9, "After."));
  const ended = link.finish();
  sockets[1].end(1000);
  await ended;
  assert.deepEqual(texts(link), [[0.1, "Before."], [2.1, "After."]]);
  assert.deepEqual([phase(link), link.store.get().captions.pending], ["closed", []]);
});

test("who goes on before all was sent keeps the connection", () => {
  const link = listening(1);
  sockets[0].bufferedAmount = 1e6;
  link.push(second(2));
  void link.finish();
  link.start();
  sockets[0].bufferedAmount = 0;
  link.push(second(3));
  assert.deepEqual([sockets.length, sockets[0].hasSaidClose], [1, false]);
  assert.deepEqual([...new Set(sockets[0].samples)], [1, 2, 3]);
});

test("who stops soon after going on gets the text of both connections before the end", async () => {
  const link = listening(1);
  void link.finish();
  link.start();
  link.push(second(2));
  let isOver = false;
  const ended = link.finish().then(() => (isOver = true));
  sockets[0].end(1000);
  await null;
  assert.deepEqual([isOver, sockets.length], [false, 2]);
  sockets[1].say(READY);
  assert.deepEqual([...new Set(sockets[1].samples), sockets[1].hasSaidClose], [2, true]);
  sockets[1].say(final(0.1, 0.9, "After."));
  sockets[1].end(1000);
  await ended;
  assert.deepEqual(texts(link), [[1.1, "After."]]);
});

test("what a line is too slow for is told as a gap, and the times after it stay true", async (t) => {
  const link = listening(10);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  sockets[0].say(final(0, 9, "Nine."));
  sockets[0].bufferedAmount = 1e6;
  for (let value = 11; value <= 330; value += 1) link.push(second(7));
  await new Promise((resolve) => setImmediate(resolve)); // the reason is looked for
  assert.ok(sockets[0].isClosed);
  t.mock.timers.tick(1000);
  assert.equal(sockets.length, 2);
  sockets[1].say(READY);
  link.push(second(8));
  sockets[1].say(final(0.2, 0.8, "Now."));
  const [, gap, now] = link.store.get().captions.lines;
  assert.deepEqual([gap.kind, gap.start], ["gap", 9]);
  assert.equal(now.start, Math.round(1000 * (gap.end + 0.2)) / 1000);
  assert.equal(new Set(sockets[1].samples).size <= 2, true);
  assert.ok(sockets[1].samples.at(-1) === 8);
});
