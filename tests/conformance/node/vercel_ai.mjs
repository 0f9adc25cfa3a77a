// Vercel's AI SDK with its OpenAI provider. node vercel_ai.mjs URL CLIP
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createOpenAI } from "@ai-sdk/openai";
import { transcribe } from "ai";

const [url, clip] = process.argv.slice(2);
const provider = createOpenAI({ baseURL: `${url}/v1`, apiKey: "none" });
const audio = readFileSync(clip);

// whisper-1 is asked for verbose_json, the newer names for json
const texts = [];
for (const [name, options] of [
  ["whisper-1", { timestampGranularities: ["word"], language: "en", temperature: 0, prompt: "A novel." }],
  ["whisper-1", { timestampGranularities: ["segment"] }],
  ["whisper-1", {}],
  ["gpt-transcribe", {}],
  ["gpt-4o-mini-transcribe", {}],
]) {
  const { text, segments, durationInSeconds, warnings } = await transcribe({
    model: provider.transcription(name),
    audio,
    maxRetries: 0,
    providerOptions: { openai: options },
  });
  assert.ok(text.split(" ").length > 3, `${name}: ${text}`);
  assert.deepEqual(warnings, []);
  if (name === "whisper-1") {
    assert.ok(durationInSeconds > 1);
    assert.ok(segments.length > 0, `${name}, ${JSON.stringify(options)}`);
    assert.ok(segments.every(({ startSecond, endSecond }) => 0 <= startSecond && startSecond <= endSecond));
  }
  texts.push(text);
}
console.log(`Vercel AI SDK: ${texts[0]}`);
