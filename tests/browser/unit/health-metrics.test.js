// Metrics become figures and points of graphs; restarts, gaps and metrics that a server does not have are no surprise.
import assert from "node:assert/strict";
import test from "node:test";

const APP = new URL("../../../neuron_whisper/server/web/static/app/health/", import.meta.url);
const { parseMetrics, sumOf } = await import(new URL("metrics.js", APP));
const { addPoint, KEPT_MS, takeSnapshot } = await import(new URL("history.js", APP));

const TEXT = `# HELP neuron_whisper_requests_total Requests by route, status and error code.
# TYPE neuron_whisper_requests_total counter
neuron_whisper_requests_total{code="",route="/v1/audio/transcriptions",status="200"} 7.0
neuron_whisper_requests_total{code="too_large",route="/v1/audio/transcriptions",status="413"} 1.0
neuron_whisper_requests_total{code="",route="/v1/models",status="200"} 40.0
neuron_whisper_requests_total{code="",route="/metrics",status="200"} 90.0
neuron_whisper_requests_created{code="",route="/metrics",status="200"} 1.7e+09
neuron_whisper_request_rtf_bucket{le="+Inf"} 7.0
neuron_whisper_request_rtf_count 7.0
neuron_whisper_request_rtf_sum 1.4
neuron_whisper_audio_seconds_total 120.5
neuron_whisper_slots_busy{model="a"} 2.0
neuron_whisper_slots_busy{model="b"} 1.0
neuron_whisper_slots{model="a"} 8.0
neuron_whisper_jobs{status="queued"} 3.0
neuron_whisper_jobs{status="running"} 1.0
process_start_time_seconds 1.7e+09
odd{quote="a \\"b\\", c=\\"d\\"\\\\",line="x\\ny"} NaN
`;

test("samples are found by name and labels, with their values", () => {
  const metrics = parseMetrics(TEXT);
  assert.equal(sumOf(metrics, "slots_busy"), 3);
  assert.equal(sumOf(metrics, "slots_busy", { model: "b" }), 1);
  assert.equal(sumOf(metrics, "jobs", { status: "failed" }), 0);
  assert.equal(sumOf(metrics, "process_start_time_seconds"), 1.7e9);
  assert.equal(metrics.get("request_rtf_bucket")[0].labels.le, "+Inf");
});

test("labels are unescaped", () => {
  assert.deepEqual(parseMetrics(TEXT).get("odd")[0].labels, { quote: 'a "b", c="d"\\', line: "x\ny" });
});

test("a metric that the server does not have is null, not zero", () => {
  const metrics = parseMetrics(TEXT);
  assert.equal(sumOf(metrics, "realtime_sessions"), null);
  assert.deepEqual([takeSnapshot(metrics, 0).sessions, takeSnapshot(parseMetrics(""), 0).jobsQueued], [null, null]);
});

test("only requests of the API are counted, not what this page asks for", () => {
  assert.equal(takeSnapshot(parseMetrics(TEXT), 0).requests, 8);
});

const snapshot = (at, more = {}) => ({ ...takeSnapshot(parseMetrics(TEXT), at), ...more });

test("rates are what a counter grew by in a second", () => {
  const [point] = addPoint([], snapshot(0), snapshot(2000, { requests: 12, audio: 140.5, rtfSum: 2.4, rtfCount: 9 }));
  assert.deepEqual([point.requests, point.audio, point.rtf, point.slots], [2, 10, 0.5, 3]);
});

test("nothing answered: no real-time factor", () => {
  assert.equal(addPoint([], snapshot(0), snapshot(2000))[0].rtf, null);
});

test("a server that was restarted counts from zero, and no rate is negative", () => {
  const [point] = addPoint([], snapshot(0), snapshot(2000, { requests: 2, audio: 0 }));
  assert.deepEqual([point.requests, point.audio], [1, 0]);
});

test("the first snapshot makes no point, and points are kept for five minutes", () => {
  assert.deepEqual(addPoint([], null, snapshot(0)), []);
  let points = [];
  for (let at = 0; at < KEPT_MS + 20_000; at += 2000) points = addPoint(points, snapshot(at), snapshot(at + 2000));
  assert.equal(points.at(-1).at - points[0].at, KEPT_MS);
  assert.equal(points.length, KEPT_MS / 2000 + 1);
});
