// The socket to the server, with reconnection: sends what is said, hears it again after a drop, tells what came back.
import { createStore } from "../state.js";
import { createBacklog, findReplay } from "./backlog.js";
import { addGap, markStale, NO_CAPTIONS, settleAll, takeMessage } from "./captions.js";
import { nextConnection, NOT_CONNECTED } from "./connection.js";
import { findProblem } from "./problems.js";

export const RATE = 16000; // Hz
const KEPT_S = 300; // of speech without its final text
const MAX_BUFFERED_BYTES = 64 * 1024; // 2 s in the socket; what it has taken cannot be taken back
const HEARD_MARGIN_S = 3; // the server tells of speech a little after it heard it
const BUSY_CHECK_MS = 50;
const CONNECT_MS = 15_000;
const STALL_MS = 20_000; // a socket that takes and gives nothing for this long is dead
const LOST = 1006; // the code that browsers give where no close frame came

/**
 * @typedef {object} LinkState
 * @property {import("./connection.js").Connection} connection
 * @property {import("./captions.js").Captions} captions
 * @property {number} behind seconds said that were not sent yet
 * @property {string} model that the server chose
 * @property {string} complaint an error that did not end the session
 */

/**
 * @param {() => {url: string, protocols: string[]}} findAddress read at each connection: the key may have changed
 */
export function createLink(findAddress) {
  const backlog = createBacklog(KEPT_S * RATE);
  /** @type {import("../state.js").Store<LinkState>} */
  const store = createStore({ connection: NOT_CONNECTED, captions: NO_CAPTIONS, behind: 0, model: "", complaint: "" });
  /** @type {WebSocket | null} */
  let socket = null;
  let source = { id: 0, offset: 0 };
  let cursor = 0; // the next sample to send
  let heard = 0; // samples that the server had certainly heard when the last connection ended
  let isFinishing = false;
  let saidClose = false;
  /** @type {number | undefined} of the next try, and of one that takes too long */
  let retryTimer;
  /** @type {number | undefined} of the next look at a full socket */
  let pumpTimer;
  let movedAt = 0; // when the socket last took or gave something
  /** @type {(() => void)[]} */
  let waiters = [];
  /** @type {Record<string, any> | null} */
  let lastError = null;

  /** @param {import("./connection.js").ConnectionEvent} event */
  function advance(event) {
    clearTimeout(retryTimer);
    clearTimeout(pumpTimer);
    const connection = nextConnection(store.get().connection, event);
    store.set({ connection });
    if (connection.phase === "waiting") retryTimer = setTimeout(connect, Math.max(0, connection.retryAt - Date.now()));
    if (connection.phase === "closed") settleWaiters();
  }

  function settleWaiters() {
    for (const resolve of waiters) resolve();
    waiters = [];
  }

  function connect() {
    advance({ type: "connect" });
    const { captions } = store.get();
    const settled = Math.round(captions.settled * RATE);
    const isOpen = captions.pending.length > 0;
    const { from, gap } = findReplay(backlog, { settled, heard, isOpen });
    if (gap) store.set({ captions: addGap(captions, gap.start / RATE, gap.end / RATE) });
    source = { id: source.id + 1, offset: from / RATE };
    cursor = from;
    saidClose = false;
    lastError = null;
    let opened;
    try {
      const { url, protocols } = findAddress();
      opened = new WebSocket(url, protocols);
    } catch {
      advance({ type: "dropped", now: Date.now(), random: 0, problem: { code: "key_wrong", isFinal: true } });
      return; // a key with characters that no subprotocol may have
    }
    listen(opened);
  }

  /** @param {WebSocket} opened */
  function listen(opened) {
    socket = opened;
    opened.onmessage = ({ data }) => {
      if (socket === opened) receive(JSON.parse(data));
    };
    opened.onclose = ({ code }) => void end(opened, code);
    retryTimer = setTimeout(() => void end(opened, LOST), CONNECT_MS);
  }

  /** The connection's end, told by the browser or found here. @param {WebSocket} ended @param {number} code */
  async function end(ended, code) {
    if (socket !== ended) return;
    const wasOpen = store.get().connection.phase === "open";
    heard = Math.max(heard, cursor - ended.bufferedAmount / 2 - HEARD_MARGIN_S * RATE);
    socket = null;
    ended.close();
    if (saidClose && code === 1000) {
      finishTurn();
      return;
    }
    store.set((state) => ({ captions: markStale(state.captions) }));
    const problem = await findProblem({ code, wasOpen, error: lastError, url: ended.url });
    if (socket === null && ["open", "connecting"].includes(store.get().connection.phase)) {
      advance({ type: "dropped", now: Date.now(), random: Math.random(), problem });
    }
  }

  /** All that was sent has its text. What was said after `close` goes to another connection. */
  function finishTurn() {
    backlog.settle(cursor);
    heard = cursor;
    store.set((state) => ({ captions: settleAll(state.captions, cursor / RATE) }));
    if (isFinishing && cursor >= backlog.end) advance({ type: "closed" });
    else connect();
    tellBehind();
  }

  /** @param {Record<string, any>} message */
  function receive(message) {
    movedAt = Date.now();
    if (message.type === "ready") {
      store.set({ model: message.model });
      advance({ type: "ready", now: Date.now() });
      pump();
    } else if (message.type === "error") {
      lastError = message.error;
      store.set({ complaint: message.error?.message ?? "" });
    } else {
      const captions = takeMessage(store.get().captions, message, source);
      if (captions !== store.get().captions) store.set({ captions });
      backlog.settle(Math.min(cursor, Math.round(captions.settled * RATE))); // rounded, it may lie beyond
    }
  }

  /** Sends what the socket takes, and says that it was all when it was. */
  function pump() {
    clearTimeout(pumpTimer);
    tellBehind();
    if (!socket || saidClose || store.get().connection.phase !== "open") return;
    if (cursor < backlog.start) {
      // too slow a line: what it did not take is a gap, from now on the captions are with the speaker again
      backlog.settle(backlog.end);
      return void end(socket, LOST);
    }
    for (let samples = backlog.read(cursor); samples && socket.bufferedAmount < MAX_BUFFERED_BYTES; ) {
      socket.send(/** @type {Int16Array<ArrayBuffer>} */ (samples));
      cursor += samples.length;
      movedAt = Date.now();
      samples = backlog.read(cursor);
    }
    if (cursor < backlog.end) {
      if (Date.now() - movedAt > STALL_MS) return void end(socket, LOST);
      pumpTimer = setTimeout(pump, BUSY_CHECK_MS);
    } else if (isFinishing) {
      socket.send(JSON.stringify({ type: "close" }));
      saidClose = true;
    }
    tellBehind();
  }

  function tellBehind() {
    const behind = Math.round((backlog.end - cursor) / RATE);
    if (behind !== store.get().behind) store.set({ behind });
  }

  return {
    store,
    /** Connects, also after `finish`: a connection that is not closed yet goes on, or is followed by another. */
    start() {
      isFinishing = false;
      if (["idle", "stopped", "closed"].includes(store.get().connection.phase)) connect();
      else pump();
    },
    /** Tries again now. */
    retry() {
      const { phase } = store.get().connection;
      if (phase === "waiting" || phase === "stopped") connect();
    },
    /** The browser says that it has no network: no close will come. */
    goOffline() {
      if (socket) void end(socket, LOST);
    },
    /** @param {Int16Array} samples */
    push(samples) {
      backlog.push(samples);
      pump();
    },
    /** Sends the rest and resolves when the last text is there; a drop meanwhile is recovered as ever. */
    finish() {
      isFinishing = true;
      if (store.get().connection.phase === "closed") return Promise.resolve();
      pump();
      return new Promise((/** @type {(value: void) => void} */ resolve) => void waiters.push(resolve));
    },
    /** Ends without waiting for texts: what has none is a gap. */
    abandon() {
      const closing = socket;
      socket = null;
      closing?.close();
      const { captions } = store.get();
      const needed = captions.pending.length ? captions.settled : Math.max(captions.settled, heard / RATE);
      const end = backlog.end / RATE;
      const told = end - needed > 1 ? addGap(captions, needed, end) : captions;
      store.set({ captions: settleAll(told, end), behind: 0 });
      heard = backlog.end;
      advance({ type: "closed" });
    },
  };
}
