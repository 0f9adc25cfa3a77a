// Edits are not lost: where the browser cannot save, where others delete, where a page is closed while it saves.
import assert from "node:assert/strict";
import test from "node:test";
import { openPage } from "./harness/browser.js";
import { edit, openTranscript, segment, waitUntilSaved } from "./harness/opened.js";
import { settle, showView } from "./harness/views.js";

const textOf = (page, index) => segment(page, index).locator(".segment-text").innerText();

/** The modules of storage and transcripts in the page's `window`. */
const loadModules = (page) =>
  page.evaluate(async () => {
    const app = document.querySelector("script[type=module]").src.replace(/main\.js$/, "");
    window.storage = await import(`${app}storage/index.js`);
    window.transcript = await import(`${app}transcript/index.js`);
    window.response = (text) => ({ text, duration: 1, segments: [{ id: 0, start: 0, end: 1, text: ` ${text}` }] });
  });

/** The document as it is kept, once `isReady` holds for it. */
async function waitForKept(page, id, isReady) {
  for (const end = Date.now() + 15_000; Date.now() < end; ) {
    const kept = await page.evaluate((of) => window.storage.loadDocument(of), id);
    if (kept && isReady(kept)) return kept;
    await page.waitForTimeout(100);
  }
  throw new Error("it was not kept");
}

test("without a database an edit is there after another view was looked at, and leaving is asked about", async (t) => {
  const { page } = await openPage(t, "plain");
  await page.addInitScript(() => Object.defineProperty(window, "indexedDB", { value: undefined }));
  await page.reload();
  await loadModules(page);
  await page.evaluate(() =>
    window.transcript.openTranscript(window.transcript.fromResponse(window.response("heard"), { fileName: "a.wav" })),
  );
  await segment(page, 0).waitFor();
  const hash = await page.evaluate(() => window.location.hash);
  await edit(page, 0, "Written.");
  await showView(page, "history");
  await page.evaluate((to) => (window.location.hash = to), hash);
  await settle(page);
  assert.equal(await textOf(page, 0), "Written.");
  await page.getByRole("button", { name: "Undo" }).click();
  assert.equal(await textOf(page, 0), "heard");
  const asked = page.waitForEvent("dialog");
  await page.close({ runBeforeUnload: true });
  assert.equal((await asked).type(), "beforeunload");
  await (await asked).accept();
});

test("what could not be saved is saved by itself when there is room again", async (t) => {
  const { page, id } = await openTranscript(t);
  await page.evaluate(() => {
    const { put } = window.IDBObjectStore.prototype;
    window.IDBObjectStore.prototype.put = function full() {
      throw new DOMException("full", "QuotaExceededError");
    };
    window.makeRoom = () => (window.IDBObjectStore.prototype.put = put);
  });
  await edit(page, 1, "Kept at last.");
  await page.locator(".keeping-state[data-saving=failed]").waitFor();
  await showView(page, "history"); // also behind another view
  await page.evaluate(() => window.makeRoom());
  await loadModules(page);
  await waitForKept(page, id, ({ segments }) => segments[1].text.trim() === "Kept at last.");
});

test("a transcript that the history deletes behind its view says so, and an edit saves all of it again", async (t) => {
  const { page, id, body } = await openTranscript(t);
  await loadModules(page);
  await page.evaluate((of) => window.storage.removeDocument(of), id);
  await page.getByText("Deleted in another tab").waitFor();
  await edit(page, 0, "Saved again.");
  const kept = await waitForKept(page, id, () => true);
  assert.equal(kept.segments.length, body.segments.length);
  assert.equal(JSON.parse(kept.raw).segments.length, body.segments.length);
});

test("a page that is closed while it saves thousands of segments loses none of them", async (t) => {
  const { page } = await openTranscript(t, { minutes: 120 });
  await page.keyboard.press("/");
  await page.getByRole("search").getByRole("searchbox").fill("the");
  await page.getByLabel("Replace with").fill("THE");
  await page.getByRole("button", { name: "Replace all" }).click();
  await page.locator(".keeping-state[data-saving=waiting]").waitFor();
  await page.waitForTimeout(420); // the saving has begun
  await page.reload();
  await settle(page);
  await loadModules(page);
  const left = await page.evaluate(async () => {
    const document = await window.storage.loadDocument(window.location.hash.split("/")[1]);
    return document.segments.filter(({ text }) => text.includes("the")).length;
  });
  assert.equal(left, 0);
});

test("a job that two tabs open is one transcript, and its recording needs no room for a copy", async (t) => {
  const { page } = await openPage(t, "plain");
  await page.addInitScript(() => {
    window.navigator.storage.estimate = async () => ({ quota: 10e6, usage: 0 });
  });
  await page.reload();
  await loadModules(page);
  const kept = await page.evaluate(async () => {
    const { listDocuments, loadAudio, saveAudio, saveDocument } = window.storage;
    const { fromResponse, openTranscript } = window.transcript;
    const make = () => fromResponse(window.response("heard"), { fileName: "a.wav", jobId: "job_1" });
    await saveAudio("job_1", new Blob([new Uint8Array(4e6)]));
    const { doc, notice } = await openTranscript(make(), await loadAudio("job_1"), { show: false });
    await saveDocument({ ...doc, segments: [{ ...doc.segments[0], text: " edited" }] });
    const again = await openTranscript(make(), null, { show: false });
    const size = (await loadAudio(doc.id)).size;
    return { notice, size, text: again.doc.segments[0].text, count: (await listDocuments()).length };
  });
  assert.deepEqual(kept, { notice: "", size: 4e6, text: " edited", count: 1 });
});

test("a recording that was deleted is not played any more when its transcript is opened again", async (t) => {
  const { page } = await openPage(t, "plain");
  await loadModules(page);
  await page.evaluate(() => {
    const document = window.transcript.fromResponse(window.response("heard"), { fileName: "a.wav", id: "a" });
    return window.transcript.openTranscript(document, new Blob(["abc"], { type: "audio/wav" }));
  });
  await waitUntilSaved(page);
  await page.getByRole("button", { name: "Delete the recording" }).click();
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByText("The recording is not in this browser").waitFor();
  const audio = await page.evaluate(async () => (await window.transcript.loadTranscript("a")).audio);
  assert.equal(audio, null);
});
