// The page's texts: every key that a module asks for is there, in five languages, with the same values to fill in.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";

const APP = new URL("../../../neuron_whisper/server/web/static/app/", import.meta.url);
const { LOCALES, STRINGS } = await import(new URL("strings.js", APP));

const sources = readdirSync(APP, { recursive: true })
  .filter((name) => name.endsWith(".js") && !["strings.js", "i18n.js"].includes(name))
  .map((name) => [name, readFileSync(new URL(name, APP), "utf8")]);
const KEY = /["'`]([a-z]+(?:\.[a-zA-Z0-9_-]+)+)["'`]/g;
const BEGINNING = /`([a-z]+\.[^`$]*)\$\{/g;
const keys = Object.keys(STRINGS);

const valuesOf = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();

test("every key that a module asks for has a text", () => {
  for (const [name, source] of sources) {
    for (const [, key] of source.matchAll(/\bt\(\s*["'`]([^"'`$]+)["'`]/g)) assert.ok(key in STRINGS, `${name}: ${key}`);
  }
});

test("every text is asked for: by its key, or by a key that is put together from its beginning", () => {
  const asked = new Set(sources.flatMap(([, source]) => [...source.matchAll(KEY)].map(([, key]) => key)));
  const beginnings = sources.flatMap(([, source]) => [...source.matchAll(BEGINNING)].map(([, text]) => text));
  const unused = keys.filter((key) => !asked.has(key) && !beginnings.some((text) => key.startsWith(text)));
  assert.deepEqual(unused, []);
});

test("each text is there in five languages, none empty", () => {
  assert.deepEqual(LOCALES, ["en", "ja", "de", "ko", "zh"]);
  for (const key of keys) {
    assert.equal(STRINGS[key].length, 5, key);
    for (const text of STRINGS[key]) assert.ok(text.trim(), key);
  }
});

test("translations fill in the same values as the English text", () => {
  for (const key of keys) {
    const [english, ...others] = STRINGS[key].map(valuesOf);
    for (const other of others) assert.deepEqual(other, english, key);
  }
});

test("a key stands in the file once: the second text would silently replace the first", () => {
  const source = readFileSync(new URL("strings.js", APP), "utf8");
  const written = [...source.matchAll(/^ {2}"?([a-z]+[\w.-]*)"?: \[/gm)].map(([, key]) => key);
  assert.deepEqual(written.toSorted(), [...new Set(written)].toSorted());
});
