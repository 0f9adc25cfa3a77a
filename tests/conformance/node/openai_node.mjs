// The official openai client for Node: every response format, streaming, words, a refusal. node openai_node.mjs URL CLIP
import assert from "node:assert/strict";
import { createReadStream, readFileSync } from "node:fs";
import OpenAI, { BadRequestError, toFile } from "openai";

const [url, clip] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const transcribe = (more) =>
  client.audio.transcriptions.create({ file: createReadStream(clip), model: "whisper-1", ...more });

const plain = await transcribe({ include: ["logprobs"] });
assert.ok(plain.text.split(" ").length > 3, plain.text);
assert.ok(plain.logprobs.length > 0);

const verbose = await transcribe({
  response_format: "verbose_json",
  timestamp_granularities: ["word", "segment"],
  language: "en",
  temperature: 0,
});
assert.equal(verbose.text, plain.text);
for (const { start, end } of [...verbose.words, ...verbose.segments]) {
  assert.ok(0 <= start && start <= end && end <= verbose.duration + 0.05, `${start} to ${end}`);
}
for (const response_format of ["text", "srt", "vtt"]) {
  assert.ok((await transcribe({ response_format })).includes(plain.text.split(" ").at(-1)));
}

let streamed = "";
let done;
for await (const event of await transcribe({ stream: true })) {
  if (event.type === "transcript.text.delta") streamed += event.delta;
  if (event.type === "transcript.text.done") done = event.text;
}
assert.equal(streamed, plain.text);
assert.equal(done, plain.text);

// a Blob as browsers send it: no name that says the kind
const blob = await client.audio.transcriptions.create({
  file: await toFile(readFileSync(clip), "blob", { type: "application/octet-stream" }),
  model: "whisper-1",
});
assert.equal(blob.text, plain.text);

await assert.rejects(transcribe({ temperature: 3 }), (error) => {
  assert.ok(error instanceof BadRequestError);
  assert.equal(error.param, "temperature");
  return true;
});
const models = [];
for await (const model of client.models.list()) models.push(model.id);
assert.ok(models.length > 0);
console.log(`openai-node: ${plain.text}`);
