// The queue of files: what each action makes of it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_OPTIONS } from "../types/app/api/form.js";
import { createItem, isActive, reduce } from "../types/app/transcribe/queue.js";

const MB = 1024 ** 2;
const fileOf = (name, size = 1000) => /** @type {any} */ ({ name, size });
const itemOf = (id, { size = 1000, duration = /** @type {number | null} */ (60) } = {}) =>
  createItem({ id, file: fileOf(`${id}.wav`, size), duration });
const START = { options: DEFAULT_OPTIONS, hasJobs: true, longSeconds: 600, maxUploadBytes: 25 * MB };
const start = (queue, ids, more = {}) => reduce(queue, { type: "start", ids, ...START, ...more });
const run = (queue, ...actions) => actions.reduce(reduce, queue);
const first = (queue) => queue.items[0];
const FAILURE = { message: "no room", code: "queue_full", param: "", status: 503, retryAt: 5000 };

test("one short file is sent as a stream, whose transcript opens", () => {
  const { via, opens, state } = first(start({ items: [itemOf("a")] }, ["a"]));
  assert.deepEqual([via, opens, state], ["stream", true, "waiting"]);
});

test("several files, and a long one, become jobs where the server has them", () => {
  const several = start({ items: [itemOf("a"), itemOf("b")] }, ["a", "b"]);
  assert.deepEqual(
    several.items.map(({ via, opens }) => [via, opens]),
    [
      ["job", false],
      ["job", false],
    ],
  );
  const cases = [
    [{ duration: 600 }, "stream"],
    [{ duration: 601 }, "job"],
    [{ duration: null, size: 25 * MB }, "stream"],
    [{ duration: null, size: 25 * MB + 1 }, "job"],
    [{ duration: 60, size: 26 * MB }, "job"], // more than a request takes
  ];
  for (const [values, via] of cases) {
    assert.equal(first(start({ items: [itemOf("a", values)] }, ["a"])).via, via, JSON.stringify(values));
  }
});

test("without jobs every file is sent as a stream", () => {
  const queue = start({ items: [itemOf("a", { duration: 9000 }), itemOf("b")] }, ["a", "b"], { hasJobs: false });
  assert.deepEqual(
    queue.items.map(({ via }) => via),
    ["stream", "stream"],
  );
});

test("a file over a limit is not started", () => {
  const refused = reduce({ items: [itemOf("a")] }, { type: "refuse", id: "a", error: FAILURE });
  assert.equal(first(start(refused, ["a"])).state, "ready");
});

test("a file is uploading until all of it is sent, then worked on from that moment", () => {
  const sending = run(start({ items: [itemOf("a")] }, ["a"]), { type: "upload", id: "a", fraction: 0.4, now: 100 });
  assert.deepEqual([first(sending).state, first(sending).uploaded], ["uploading", 0.4]);
  const sent = reduce(sending, { type: "upload", id: "a", fraction: 1, now: 200 });
  assert.deepEqual([first(sent).state, first(sent).startedAt], ["working", 200]);
});

test("segments are joined, and how far it is never goes back", () => {
  const queue = run(
    start({ items: [itemOf("a")] }, ["a"]),
    { type: "segments", id: "a", segments: [{ end: 8 }], now: 1 },
    { type: "job", id: "a", stage: "transcribing", done: 5, total: 61, now: 2 },
    { type: "segments", id: "a", segments: [{ end: 12 }], now: 3 },
  );
  const { segments, done, duration } = first(queue);
  assert.deepEqual([segments.length, done, duration], [2, 12, 61]);
});

test("the time of a job counts from when it is transcribed, not from when it waits", () => {
  const queue = run(
    start({ items: [itemOf("a")] }, ["a"]),
    { type: "jobCreated", id: "a", jobId: "job_1", now: 100 },
    { type: "job", id: "a", stage: "queued", done: 0, total: null, now: 200 },
    { type: "job", id: "a", stage: "transcribing", done: 0, total: 60, now: 5000 },
    { type: "job", id: "a", stage: "transcribing", done: 9, total: 60, now: 6000 },
  );
  assert.equal(first(queue).startedAt, 5000);
});

test("late news of a file that was cancelled or is done change nothing", () => {
  const cancelled = run(start({ items: [itemOf("a")] }, ["a"]), { type: "cancel", id: "a" });
  const late = run(
    cancelled,
    { type: "segments", id: "a", segments: [{ end: 1 }], now: 1 },
    { type: "upload", id: "a", fraction: 1, now: 2 },
    { type: "fail", id: "a", error: FAILURE },
    { type: "finish", id: "a", documentId: "d", duration: 1 },
  );
  assert.deepEqual(late, cancelled);
  const done = run(start({ items: [itemOf("a")] }, ["a"]), { type: "finish", id: "a", documentId: "d", duration: 61 });
  assert.deepEqual(reduce(done, { type: "cancel", id: "a" }), done);
});

test("a retry begins anew with the same options, and only of a file that has ended", () => {
  const failed = run(
    start({ items: [itemOf("a")] }, ["a"]),
    { type: "segments", id: "a", segments: [{ end: 4 }], now: 1 },
    { type: "fail", id: "a", error: FAILURE },
    { type: "retryLater", id: "a", retries: true },
  );
  const { state, segments, error, done, retries, options } = first(reduce(failed, { type: "retry", id: "a" }));
  assert.deepEqual([state, segments, error, done, retries], ["waiting", [], null, 0, false]);
  assert.equal(options, DEFAULT_OPTIONS);
  const working = reduce(start({ items: [itemOf("a")] }, ["a"]), { type: "upload", id: "a", fraction: 1, now: 1 });
  assert.deepEqual(reduce(working, { type: "retry", id: "a" }), working);
});

test("a retry takes other options where some are given: those that were refused have been corrected", () => {
  const failed = run(start({ items: [itemOf("a")] }, ["a"]), { type: "fail", id: "a", error: FAILURE });
  const corrected = { ...DEFAULT_OPTIONS, language: "de" };
  assert.equal(first(reduce(failed, { type: "retry", id: "a", options: corrected })).options, corrected);
});

test("a job that may have been made when a connection broke is asked for again, not made twice", () => {
  const started = start({ items: [itemOf("a"), itemOf("b")] }, ["a", "b"]);
  const broken = run(
    started,
    { type: "fail", id: "a", error: FAILURE },
    { type: "retry", id: "a", options: DEFAULT_OPTIONS },
  );
  assert.equal(first(broken).tries, 0);
  const made = { type: "jobCreated", id: "a", jobId: "job_1", now: 1 };
  const refused = { ...FAILURE, code: "invalid_audio", status: 0 };
  const failed = run(started, made, { type: "fail", id: "a", error: refused }, { type: "retry", id: "a" });
  assert.deepEqual([first(failed).tries, first(failed).jobId], [1, ""]);
});

test("a job that was lost from sight is followed again, its file is not sent twice", () => {
  const made = { type: "jobCreated", id: "a", jobId: "job_1", now: 1 };
  const started = run(start({ items: [itemOf("a"), itemOf("b")] }, ["a", "b"]), made);
  const retry = (error, options) =>
    first(run(started, { type: "fail", id: "a", error }, { type: "retry", id: "a", options }));
  for (const passing of [{ status: 401 }, { status: 429 }, { status: 502 }, { status: 0, code: "unreachable" }]) {
    const { jobId, tries } = retry({ ...FAILURE, ...passing });
    assert.deepEqual([jobId, tries], ["job_1", 0], JSON.stringify(passing));
  }
  const others = { ...DEFAULT_OPTIONS, language: "de" };
  for (const again of [retry(FAILURE, others), retry({ ...FAILURE, status: 404 })])
    assert.deepEqual([again.jobId, again.tries], ["", 1]);
});

test("a file that was cancelled is sent as another request: the server may have cancelled the first", () => {
  const cancelled = run(start({ items: [itemOf("a")] }, ["a"]), { type: "cancel", id: "a" });
  assert.equal(first(reduce(cancelled, { type: "retry", id: "a", options: DEFAULT_OPTIONS })).tries, 1);
});

test("a limit that is found after a file was started does not mark it: the server decides", () => {
  const started = start({ items: [itemOf("a")] }, ["a"]);
  assert.equal(first(reduce(started, { type: "refuse", id: "a", error: FAILURE })).error, null);
});

test("a file that is done holds no segments and peaks any more: its document has them", () => {
  const done = run(
    start({ items: [itemOf("a")] }, ["a"]),
    { type: "peaks", id: "a", peaks: { peaks_per_second: 20, peaks: [1, 2] } },
    { type: "segments", id: "a", segments: [{ end: 4 }], now: 1 },
    { type: "finish", id: "a", documentId: "d", duration: 4 },
  );
  assert.deepEqual([first(done).segments, first(done).peaks, first(done).documentId], [[], null, "d"]);
});

test("clear takes away what has ended, and nothing that is ready or runs", () => {
  let queue = { items: [itemOf("ready"), itemOf("runs"), itemOf("done"), itemOf("failed")] };
  queue = start(queue, ["runs", "done", "failed"]);
  queue = run(
    queue,
    { type: "upload", id: "runs", fraction: 1, now: 1 },
    { type: "finish", id: "done", documentId: "d", duration: 1 },
    { type: "fail", id: "failed", error: FAILURE },
  );
  assert.deepEqual(
    reduce(queue, { type: "clear" }).items.map(({ id }) => id),
    ["ready", "runs"],
  );
  assert.deepEqual(queue.items.map(isActive), [false, true, false, false]);
});

test("no action changes a queue in place", () => {
  const queue = Object.freeze({ items: Object.freeze([Object.freeze(itemOf("a")), Object.freeze(itemOf("b"))]) });
  run(
    /** @type {any} */ (queue),
    { type: "start", ids: ["a"], ...START },
    { type: "upload", id: "a", fraction: 1, now: 1 },
  );
  assert.equal(queue.items[0].state, "ready");
});
