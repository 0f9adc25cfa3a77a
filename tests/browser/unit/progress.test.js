// Percentages, times left, clocks, sizes and limits.
import assert from "node:assert/strict";
import { test } from "node:test";
import { findLimit } from "../types/app/transcribe/limits.js";
import { estimateLeft, getFraction } from "../types/app/transcribe/progress.js";
import { formatClock, formatSize } from "../types/app/ui/figures.js";

const MB = 1024 ** 2;
const LIMITS = {
  maxUploadBytes: 25 * MB,
  maxAudioSeconds: 7200,
  hasJobs: false,
  jobsMaxUploadBytes: 1024 * MB,
  jobsMaxAudioSeconds: 43200,
};

test("the share done is unknown without a duration, and never above the whole", () => {
  assert.equal(getFraction({ done: 5, duration: null }), null);
  assert.equal(getFraction({ done: 5, duration: 0 }), null);
  assert.equal(getFraction({ done: 30, duration: 120 }), 0.25);
  assert.equal(getFraction({ done: 61.2, duration: 61 }), 1);
});

test("the time left goes by the speed so far, and is not guessed from nothing", () => {
  assert.equal(estimateLeft({ done: 60, duration: 180, elapsed: 10 }), 20);
  assert.equal(estimateLeft({ done: 0, duration: 180, elapsed: 10 }), null);
  assert.equal(estimateLeft({ done: 60, duration: null, elapsed: 10 }), null);
  assert.equal(estimateLeft({ done: 60, duration: 180, elapsed: 0.5 }), null);
  assert.equal(estimateLeft({ done: 200, duration: 180, elapsed: 10 }), 0);
});

test("a clock has hours only where there are some", () => {
  assert.deepEqual([0, 9.99, 75.4, 3600, 360_125, -3].map(formatClock), [
    ...["0:00", "0:09", "1:15", "1:00:00", "100:02:05", "0:00"],
  ]);
});

test("sizes are in units of 1024, as the server counts them", () => {
  assert.deepEqual(
    [0, 1023, 2048, 25 * MB, 1.5 * MB, 2 * 1024 * MB].map((bytes) => formatSize(bytes, "en")),
    ["0 B", "1,023 B", "2 kB", "25 MB", "1.5 MB", "2 GB"],
  );
});

test("a file at a limit passes, one byte or second above does not", () => {
  assert.equal(findLimit({ size: 25 * MB, duration: 7200 }, LIMITS), null);
  assert.deepEqual(findLimit({ size: 25 * MB + 1, duration: null }, LIMITS), { kind: "bytes", limit: 25 * MB });
  assert.deepEqual(findLimit({ size: 10, duration: 7200.5 }, LIMITS), { kind: "seconds", limit: 7200 });
  assert.deepEqual(findLimit({ size: 0, duration: null }, LIMITS), { kind: "empty", limit: 0 });
});

test("with jobs their limits hold, or a request's where those are higher", () => {
  const jobs = { ...LIMITS, hasJobs: true };
  assert.equal(findLimit({ size: 900 * MB, duration: 40000 }, jobs), null);
  assert.deepEqual(findLimit({ size: 1025 * MB, duration: null }, jobs), { kind: "bytes", limit: 1024 * MB });
  assert.deepEqual(findLimit({ size: 10, duration: 43201 }, jobs), { kind: "seconds", limit: 43200 });
  assert.equal(findLimit({ size: 20 * MB, duration: 60 }, { ...jobs, jobsMaxUploadBytes: MB }), null);
});
