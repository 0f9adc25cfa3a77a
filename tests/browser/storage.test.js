// What the browser keeps: recordings below a limit, the oldest evicted; what happens where it keeps less, or nothing.
import assert from "node:assert/strict";
import test from "node:test";
import { openPage } from "./harness/browser.js";

const MB = 1_000_000;

/** A page with the modules of the storage and of transcripts in its `window`. */
async function openStorage(t, { before = () => {} } = {}) {
  const opened = await openPage(t, "plain");
  await opened.page.addInitScript(before);
  await opened.page.reload();
  await loadModules(opened.page);
  return opened;
}

async function loadModules(page) {
  await page.evaluate(async () => {
    const app = document.querySelector("script[type=module]").src.replace(/main\.js$/, "");
    window.app = app;
    window.storage = await import(`${app}storage/index.js`);
    window.transcript = await import(`${app}transcript/index.js`);
    window.makeDocument = (id, ...texts) => {
      const segments = texts.map((text, at) => ({ id: at, start: at, end: at + 1, text: ` ${text}` }));
      const body = { task: "transcribe", language: "english", duration: texts.length, text: texts.join(" "), segments };
      return window.transcript.fromResponse(body, { fileName: `${id}.wav`, id });
    };
  });
}

test("a recording is kept as it is, in the browser's own files", async (t) => {
  const { page } = await openStorage(t);
  const kept = await page.evaluate(async () => {
    const saved = await window.storage.saveAudio("a", new Blob(["abc"], { type: "audio/ogg" }));
    const loaded = await window.storage.loadAudio("a");
    const [{ place, size }] = await window.storage.listAudio();
    return { saved, place, size, text: await loaded.text(), type: loaded.type };
  });
  const saved = { kept: true, evicted: [] };
  assert.deepEqual(kept, { saved, place: "opfs", size: 3, text: "abc", type: "audio/ogg" });
});

/** Saves recordings of megabytes, one after another. @param {[string, number][]} sizes by id */
function saveAll(page, recordings) {
  return page.evaluate(async (list) => {
    const answers = [];
    for (const [at, [id, size]] of list.entries()) {
      answers.push(await window.storage.saveAudio(id, new Blob([new Uint8Array(size * 1e6)]), { now: at + 1 }));
    }
    const loaded = await Promise.all(list.map(([id]) => window.storage.loadAudio(id)));
    const sizes = loaded.map((blob) => (blob ? blob.size / 1e6 : null));
    return { answers, sizes, use: await window.storage.storageUse() };
  }, recordings);
}

test("the oldest recordings make room for another, and one above the limit is not kept", async (t) => {
  const before = () => {
    window.navigator.storage.estimate = async () => ({ quota: 10e6, usage: 0 });
  };
  const { page } = await openStorage(t, { before });
  const kept = await saveAll(page, [["old", 2], ["mid", 2], ["new", 3], ["big", 7]]);
  assert.deepEqual(kept.answers, [
    { kept: true, evicted: [] },
    { kept: true, evicted: [] },
    { kept: true, evicted: ["old"] },
    { kept: false, reason: "limit", limit: 6 * MB },
  ]);
  assert.deepEqual(kept.sizes, [null, 2, 3, null]);
  assert.deepEqual(kept.use, { used: 5 * MB, limit: 6 * MB, count: 2, hasQuota: true });
});

test("where the browser has less room than it says, recordings go if that helps, and stay if not", async (t) => {
  const { page, context } = await openStorage(t);
  const protocol = await context.newCDPSession(page);
  const { origin } = new URL(page.url());
  await protocol.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 10 * MB });
  const kept = await saveAll(page, [["old", 4], ["mid", 4], ["new", 5], ["big", 20]]);
  assert.deepEqual(kept.answers.map(({ evicted, reason }) => evicted ?? reason), [[], [], ["old"], "quota"]);
  assert.deepEqual(kept.sizes, [null, 4, 5, null]);
});

test("without the browser's own files a recording lies in its database", async (t) => {
  const before = () => Object.defineProperty(window.navigator, "storage", { value: undefined });
  const { page } = await openStorage(t, { before });
  const kept = await page.evaluate(async () => {
    await window.storage.saveAudio("a", new Blob(["abc"]));
    const [{ place }] = await window.storage.listAudio();
    return { place, text: await (await window.storage.loadAudio("a")).text(), ...(await window.storage.storageUse()) };
  });
  assert.deepEqual(kept, { place: "database", text: "abc", used: 3, count: 1, limit: 2 * 1024 ** 3, hasQuota: false });
});

test("a browser that keeps nothing shows the transcript all the same, and says so", async (t) => {
  const before = () => Object.defineProperty(window, "indexedDB", { value: undefined });
  const { page } = await openStorage(t, { before });
  await page.evaluate(() => window.transcript.openTranscript(window.makeDocument("a", "one"), new Blob(["abc"])));
  await page.locator(".notices").getByText("This browser keeps nothing.").waitFor();
  await page.locator(".keeping-state[data-saving=failed]").waitFor();
  await page.locator("#segment-0 .segment-edit").click();
  await page.getByRole("textbox", { name: /^Text of/ }).fill("two");
  await page.locator(".keeping-state[data-saving=failed]").waitFor();
  assert.equal(await page.locator("[data-format=txt]").isEnabled(), true);
});

test("a document comes back as it was saved, with what the server sent", async (t) => {
  const { page } = await openStorage(t);
  const kept = await page.evaluate(async () => {
    const { loadDocument, removeDocument, saveDocument, listDocuments } = window.storage;
    const document = window.makeDocument("a", ...Array.from({ length: 250 }, (_, at) => `text ${at}`));
    const first = await saveDocument(document, { peaks: { peaks_per_second: 20, peaks: [0, 255] } });
    const loaded = await loadDocument("a");
    const segments = loaded.segments.with(120, { ...loaded.segments[120], text: " edited" });
    const second = await saveDocument({ ...loaded, segments });
    const stale = await saveDocument(loaded);
    const again = await loadDocument("a");
    const listed = await listDocuments();
    const peaks = [...(await window.storage.loadPeaks("a")).peaks];
    await removeDocument("a");
    return {
      ...{ first, second, stale: stale.saved, theirs: stale.theirs.segments[120].text, peaks },
      texts: again.segments.map(({ text }) => text),
      raw: again.raw === document.raw,
      listed: listed.map(({ id, fileName, excerpt }) => [id, fileName, excerpt.slice(0, 13)]),
      gone: await loadDocument("a"),
    };
  });
  const texts = Array.from({ length: 250 }, (_, at) => (at === 120 ? " edited" : ` text ${at}`));
  assert.deepEqual(kept, {
    ...{ first: { saved: true, revision: 1 }, second: { saved: true, revision: 2 }, stale: false, theirs: " edited" },
    ...{ peaks: [0, 255], texts, raw: true, listed: [["a", "a.wav", "text 0 text 1"]], gone: null },
  });
});

test("a transcript that is deleted while an edit waits to be saved stays deleted", async (t) => {
  const { page } = await openStorage(t);
  await page.evaluate(() => window.transcript.openTranscript(window.makeDocument("a", "one")));
  await page.locator("#segment-0 .segment-edit").click();
  await page.getByRole("textbox", { name: /^Text of/ }).fill("two");
  await page.getByRole("button", { name: "Delete the transcript" }).click();
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await page.waitForFunction(() => window.location.hash === "#history");
  assert.equal(await page.evaluate(() => window.storage.loadDocument("a")), null);
});

test("a transcript that nobody has saved is saved by its view", async (t) => {
  const { page } = await openStorage(t);
  await page.evaluate(async () => {
    const { html, render } = await import(new URL("../vendor/htm-preact.js", window.app));
    const box = window.document.body.appendChild(window.document.createElement("div"));
    render(html`<${window.transcript.TranscriptView} doc=${window.makeDocument("b", "one")} />`, box);
  });
  await page.locator(".keeping-state[data-saving=saved]").waitFor();
  assert.equal(await page.evaluate(async () => (await window.storage.loadDocument("b")).segments[0].text), " one");
});

test("of a segment that two tabs changed at once both texts are there to choose from", async (t) => {
  const { page, context } = await openStorage(t);
  await page.evaluate(() => window.transcript.openTranscript(window.makeDocument("a", "one", "two")));
  await page.locator("#segment-0").waitFor();
  const other = await context.newPage();
  await other.goto(page.url());
  await other.locator("#segment-0").waitFor();
  const type = async (tab, text) => {
    await tab.locator("#segment-0 .segment-edit").click();
    await tab.getByRole("textbox", { name: /^Text of/ }).fill(text);
  };
  await Promise.all([type(page, "mine"), type(other, "theirs")]);
  const notices = (tab) => tab.locator(".conflicts q");
  const told = await Promise.any([page, other].map(async (tab) => {
    await notices(tab).waitFor();
    return tab;
  }));
  const texts = [await notices(told).textContent(), told === page ? "mine" : "theirs"];
  assert.deepEqual(texts.sort(), ["mine", "theirs"]);
  const taken = told === page ? "theirs" : "mine";
  await told.getByRole("button", { name: "Take that" }).click();
  await told.locator(".keeping-state[data-saving=saved]").waitFor();
  for (const tab of [page, other]) {
    await tab.bringToFront();
    await tab.reload();
    assert.equal(await tab.locator("#segment-0 .segment-text").textContent(), taken);
  }
});
