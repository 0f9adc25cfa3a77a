// The rows of the history: joined, searched, grouped by day. And addresses, and errors.
import assert from "node:assert/strict";
import { test } from "node:test";
import { toApiError } from "../types/app/api/errors.js";
import { groupByDay, joinRows, searchRows } from "../types/app/history/rows.js";
import { parseRoute, toHash } from "../types/app/router.js";

const entryOf = (id, more = {}) => ({
  ...{ id, fileName: `${id}.wav`, createdAt: 1_000_000, updatedAt: 0, duration: 5, language: "english" },
  ...{ task: "transcribe", excerpt: "hello", isEdited: false },
  ...more,
});
const jobOf = (id, more = {}) => ({
  ...{ id, status: "succeeded", created_at: 2000, ended_at: null, expires_at: 9000, task: "transcribe", model: "tiny" },
  ...{ file_name: `${id}.mp3`, language: "en", waiting_reason: null, progress: null, usage: null, error: null },
  ...more,
});
const NONE = new Set();

test("a job and the document that was made of it are one row, which is in both places", () => {
  const rows = joinRows(
    [entryOf("a", { jobId: "job_1" }), entryOf("b")],
    /** @type {any} */ ([jobOf("job_1"), jobOf("job_2")]),
    NONE,
  );
  assert.deepEqual(
    rows.map(({ id, jobId, isKept }) => [id, jobId, isKept]),
    [
      ["job_2", "job_2", false],
      ["a", "job_1", true],
      ["b", "", true],
    ],
  );
});

test("rows are sorted by date, whether seconds of the server or milliseconds of the browser", () => {
  const rows = joinRows(
    [entryOf("old", { createdAt: 1 }), entryOf("new", { createdAt: 3_000_000 })],
    /** @type {any} */ ([jobOf("job")]),
    NONE,
  );
  assert.deepEqual(
    rows.map(({ id }) => id),
    ["new", "job", "old"],
  );
});

test("a document outlives its job: the row has no job to delete then", () => {
  const kept = [entryOf("a", { jobId: "job_gone" })];
  assert.equal(joinRows(kept, [], NONE)[0].jobId, "");
  assert.equal(joinRows(kept, [], NONE, true)[0].jobId, "job_gone", "it may be further down the server's list");
});

test("a running job has its percentage, a failed one its reason", () => {
  const progress = { stage: "transcribing", done_s: 30, total_s: 120, segments: 4 };
  const error = { message: "not audio", code: "audio_unreadable", param: "file" };
  const jobs = /** @type {any} */ ([
    jobOf("run", { status: "running", progress }),
    jobOf("bad", { status: "failed", error }),
  ]);
  const [run, bad] = joinRows([], jobs, new Set(["bad"]));
  assert.deepEqual([run.state, run.percent, run.duration], ["running", 25, 120]);
  assert.deepEqual([bad.state, bad.error, bad.hasAudio], ["failed", "not audio", true]);
});

test("a name is found by its words in any order, whatever their case and accents", () => {
  const rows = joinRows(
    [entryOf("a", { fileName: "Café Gespräch 2026.wav" }), entryOf("b", { fileName: "talk.wav" })],
    [],
    NONE,
  );
  const names = (query) => searchRows(rows, query).map(({ id }) => id);
  assert.deepEqual(names("gesprach CAFE"), ["a"]);
  assert.deepEqual(names("wav"), ["a", "b"]);
  assert.deepEqual(names("  "), ["a", "b"]);
  assert.deepEqual(names("cafe talk"), []);
});

test("rows of a day are together, and days are counted over a change of the clock", () => {
  const at = (day, hour) => new Date(2026, 2, day, hour).getTime();
  const times = [at(30, 1), at(29, 23), at(29, 0), at(28, 12)]; // Europe's clocks change on the 29th
  const rows = joinRows(
    times.map((createdAt, index) => entryOf(`r${index}`, { createdAt })),
    [],
    NONE,
  );
  const groups = groupByDay(rows, at(30, 2));
  assert.deepEqual(
    groups.map(({ daysAgo, rows: { length } }) => [daysAgo, length]),
    [
      [0, 1],
      [1, 2],
      [2, 1],
    ],
  );
});

test("an address names a view and an id, and an odd one is no error", () => {
  assert.deepEqual(parseRoute(""), { view: "transcribe", id: "" });
  assert.deepEqual(parseRoute("#transcript/job_5f"), { view: "transcript", id: "job_5f" });
  for (const id of ["a/b", "100%", "字 x"])
    assert.deepEqual(parseRoute(toHash("transcript", id)), { view: "transcript", id });
  assert.deepEqual(parseRoute("#transcript/50%"), { view: "transcript", id: "50%" });
});

test("an error has the API's fields and when to try again; a proxy's page gives its status", () => {
  const body = JSON.stringify({ error: { message: "full", type: "server_error", param: null, code: "queue_full" } });
  const { message, code, param, status, retryAfter } = toApiError(503, body, "2.1");
  assert.deepEqual([message, code, param, status, retryAfter], ["full", "queue_full", "", 503, 3]);
  for (const odd of ["<html>502</html>", "", "{}", '{"error":"x"}', "null", "[]"]) {
    const error = toApiError(502, odd, null);
    assert.match(error.message, /proxy.*502/, odd);
    assert.deepEqual([error.status, error.retryAfter], [502, 0], odd);
  }
  assert.equal(toApiError(429, body, "Wed, 21 Oct 2026 07:28:00 GMT").retryAfter, 0);
});
