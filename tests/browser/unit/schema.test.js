// What the page reads from the server's OpenAPI document, and the form it makes of the reader's choices.
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_OPTIONS, listFields } from "../types/app/api/form.js";
import { knowsPeaks, listFormFields } from "../types/app/api/schema.js";

/** @param {Record<string, any>} properties @param {Record<string, any>} [schemas] */
function documentOf(properties, schemas = {}) {
  const content = { "multipart/form-data": { schema: { $ref: "#/components/schemas/Form" } } };
  return {
    paths: { "/v1/audio/transcriptions": { post: { requestBody: { content } } } },
    components: { schemas: { Form: { properties }, ...schemas } },
  };
}

test("each field has the kind its schema declares, with its range or its choices", () => {
  const fields = listFormFields(
    documentOf({
      beam_size: { type: "integer", minimum: 1, maximum: 16, description: "Beams" },
      no_speech_threshold: { anyOf: [{ type: "number", minimum: 0, maximum: 1 }, { enum: ["none"] }] },
      vad_filter: { anyOf: [{ type: "boolean" }, { enum: [0, 1, "0", "1"] }] },
      chinese_script: { enum: ["simplified", "traditional"] },
      prompt: { type: "string", maxLength: 10 },
    }),
  );
  const read = (name) => {
    const { description: _, ...rest } = fields.get(name);
    return rest;
  };
  assert.deepEqual(read("beam_size"), { name: "beam_size", kind: "integer", minimum: 1, maximum: 16 });
  assert.deepEqual(read("no_speech_threshold"), {
    name: "no_speech_threshold",
    kind: "number",
    minimum: 0,
    maximum: 1,
  });
  assert.equal(read("vad_filter").kind, "boolean");
  assert.deepEqual(read("chinese_script").choices, ["simplified", "traditional"]);
  assert.equal(read("prompt").kind, "text");
  assert.equal(fields.get("beam_size").description, "Beams");
});

test("a field that the server does not list is not there, a list is found without its brackets", () => {
  const fields = listFormFields(documentOf({ "speakers[]": { type: "array" } }));
  assert.equal(fields.get("speakers").name, "speakers[]");
  assert.equal(fields.has("diarize"), false);
});

test("peaks are known where include[] takes them, also behind a reference", () => {
  const list = (items) => ({ "include[]": { type: "array", items } });
  assert.equal(knowsPeaks(documentOf(list({ enum: ["logprobs"] }))), false);
  assert.equal(knowsPeaks(documentOf(list({ enum: ["logprobs", "peaks"] }))), true);
  assert.equal(
    knowsPeaks(documentOf(list({ $ref: "#/components/schemas/Include" }), { Include: { enum: ["peaks"] } })),
    true,
  );
});

test("another document, or none, lists nothing", () => {
  for (const document of [null, {}, { paths: {} }, documentOf({}), { openapi: "3.1.0", paths: { "/": {} } }]) {
    assert.equal(listFormFields(document).size, 0);
    assert.equal(knowsPeaks(document), false);
  }
});

test("a form has what was chosen and leaves the rest to the server", () => {
  assert.deepEqual(listFields({ ...DEFAULT_OPTIONS, words: false }, { stream: true }), [
    ["response_format", "verbose_json"],
    ["stream", "true"],
  ]);
  const chosen = {
    model: "base",
    language: "de",
    task: /** @type {const} */ ("translate"),
    prompt: "Nakamura",
    words: true,
    extra: { beam_size: "5", vad_filter: "" },
  };
  assert.deepEqual(listFields(chosen, { job: true }), [
    ["response_format", "verbose_json"],
    ["task", "translate"],
    ["timestamp_granularities[]", "segment"],
    ["timestamp_granularities[]", "word"],
    ["model", "base"],
    ["language", "de"],
    ["prompt", "Nakamura"],
    ["beam_size", "5"],
  ]);
  assert.ok(
    listFields(chosen, { stream: true, peaks: true }).some(
      ([name, value]) => name === "include[]" && value === "peaks",
    ),
  );
});

test("a prompt of white space alone is none", () => {
  assert.ok(!listFields({ ...DEFAULT_OPTIONS, prompt: " \n" }).some(([name]) => name === "prompt"));
});
