// Choices that were kept for another server do not reach this one, which would refuse the session.
import assert from "node:assert/strict";
import test from "node:test";

const APP = new URL("../../../neuron_whisper/server/web/static/app/live/", import.meta.url);
const { fitChoices } = await import(new URL("choices.js", APP));

const KEPT = { deviceId: "a", model: "base", language: "de", prompt: "Names" };

test("a model or a language that the server has not is the server's own choice", () => {
  const english = { models: ["tiny.en"], languages: ["en"] };
  assert.deepEqual(fitChoices(KEPT, english), { ...KEPT, model: "", language: "" });
});

test("what the server has stays, and a model also while the models are not known", () => {
  assert.deepEqual(fitChoices(KEPT, { models: ["tiny", "base"], languages: ["en", "de"] }), KEPT);
  assert.deepEqual(fitChoices(KEPT, { models: [], languages: ["de"] }), KEPT);
});
