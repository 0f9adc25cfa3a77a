// Files in, transcripts out: one, several, long ones, recordings and samples, with progress, limits, errors and cancel.
import assert from "node:assert/strict";
import test from "node:test";
import { makeRecording, NO_SPEECH, speech, toWav, wordsOf } from "./harness/audio.js";
import { openPage, takePicture } from "./harness/browser.js";
import { ask } from "./harness/servers.js";
import {
  chooseFiles,
  getCard,
  readTranscript,
  showView,
  startQueue,
  transcribe,
  waitForState,
} from "./harness/views.js";

const JFK = speech("en_jfk.mp3");
const SHORT = [2, 8].map((n) => speech(`en_LJ001-000${n}.wav`));
const LJ = ["en_LJ001-0002.wav", "en_LJ001-0005.wav", "en_LJ001-0008.wav"];
const LONG_MINUTES = 11; // above ten minutes a file is a job
const noise = (seconds) => toWav(Buffer.alloc(seconds * 32_000), 16_000);

test("a file is uploaded, and its transcript opens with every word heard", { skip: NO_SPEECH }, async (t) => {
  const { page } = await openPage(t, "jobs");
  const text = await transcribe(page, JFK);
  assert.match(text, /ask not what your country can do for you/i);
  assert.match(await page.locator("h1").innerText(), /en_jfk\.mp3/);
  await page.locator(".waveform").waitFor();
  await takePicture(page, "transcript-jfk");
});

test("segments come while a file is transcribed, before it is done", { skip: NO_SPEECH }, async (t) => {
  const { page } = await openPage(t, "plain");
  await chooseFiles(page, makeRecording("minute.wav", LJ, { seconds: 60 }));
  await startQueue(page);
  await page.locator("article.transcript[aria-busy=true] .segment").first().waitFor({ timeout: 60_000 });
  assert.match(await getCard(page, "minute.wav").getByRole("progressbar").getAttribute("aria-valuetext"), /\d+ %/);
  await page.locator(".transcript-tools").waitFor({ timeout: 60_000 });
});

test("several files become jobs of the server, each with its own transcript", { skip: NO_SPEECH }, async (t) => {
  const { page, server } = await openPage(t, "jobs");
  await chooseFiles(page, JFK, ...SHORT);
  await startQueue(page);
  for (const name of ["en_jfk.mp3", "en_LJ001-0002.wav", "en_LJ001-0008.wav"]) await waitForState(page, name, "done");
  const { data } = await (await ask(server, "v1/jobs")).json();
  assert.ok(data.filter(({ file_name: name }) => name === "en_jfk.mp3").length >= 1);
  await takePicture(page, "queue");
  for (const [name, heard] of [
    ["en_jfk.mp3", /country/i],
    ["en_LJ001-0002.wav", /modern/i],
  ]) {
    await showView(page, "transcribe");
    await getCard(page, name).getByRole("link", { name: "Open" }).click();
    await page.locator(`article.transcript[aria-label="${name}"] .segment`, { hasText: heard }).first().waitFor();
  }
});

test("without jobs several files are sent one after another", { skip: NO_SPEECH }, async (t) => {
  const { page } = await openPage(t, "plain");
  let [open, most] = [0, 0];
  const isUpload = (request) => request.method() === "POST" && /transcriptions/.test(request.url());
  page.on("request", (request) => isUpload(request) && (most = Math.max(most, (open += 1))));
  page.on("requestfinished", (request) => isUpload(request) && (open -= 1));
  await chooseFiles(page, ...SHORT);
  await startQueue(page);
  for (const file of SHORT) await waitForState(page, file.split("/").at(-1), "done");
  assert.equal(most, 1);
});

test("a file of more than ten minutes is a job with percentage and time left", { skip: NO_SPEECH }, async (t) => {
  const { page, server } = await openPage(t, "jobs");
  const file = makeRecording("long.wav", LJ, { seconds: 60 * LONG_MINUTES, pause: 6 });
  await chooseFiles(page, file);
  await startQueue(page);
  const card = getCard(page, "long.wav");
  await card.getByText(/Transcribing [1-9]\d? %/).waitFor({ timeout: 60_000 });
  await card.getByText(/\d+:\d\d left/).waitFor({ timeout: 60_000 });
  await takePicture(page, "progress");
  assert.ok(Number(await card.getByRole("progressbar").getAttribute("aria-valuenow")) > 0);
  const job = await findJob(server, "long.wav");
  await card.getByRole("button", { name: "Cancel" }).click();
  await waitForState(page, "long.wav", "cancelled");
  await waitForStatus(server, job.id, "cancelled");
});

test(
  "a file of a stream that is cancelled is not transcribed further by the server",
  { skip: NO_SPEECH },
  async (t) => {
    const { page, server } = await openPage(t, "plain");
    await chooseFiles(page, makeRecording("cancel.wav", LJ, { seconds: 540, pause: 2 }));
    await startQueue(page);
    await page.locator("article.transcript[aria-busy=true] .segment").first().waitFor({ timeout: 60_000 });
    assert.equal(await countAtWork(server), 1);
    await getCard(page, "cancel.wav").getByRole("button", { name: "Cancel" }).click();
    await waitForState(page, "cancel.wav", "cancelled");
    await until(async () => (await countAtWork(server)) === 0, 5);
  },
);

test("a file above the limit is refused with both sizes, before it is sent", async (t) => {
  const { page } = await openPage(t, "small");
  const sent = [];
  page.on("request", (request) => request.method() === "POST" && sent.push(request.url()));
  await chooseFiles(page, { name: "big.wav", mimeType: "audio/wav", buffer: noise(60) });
  const note = getCard(page, "big.wav").getByRole("alert");
  assert.match(await note.innerText(), /1\.8 MB.*1 MB/);
  assert.equal(await page.getByRole("button", { name: /^Transcribe/ }).count(), 0);
  assert.deepEqual(sent, []);
});

test("an empty file is refused before it is sent", async (t) => {
  const { page } = await openPage(t, "plain");
  await chooseFiles(page, { name: "empty.wav", mimeType: "audio/wav", buffer: Buffer.alloc(0) });
  assert.match(await getCard(page, "empty.wav").getByRole("alert").innerText(), /empty/);
});

test("a file that is no recording fails beside its name, and can be tried again", async (t) => {
  const { page } = await openPage(t, "plain", { allowed: [/status of 4\d\d/] });
  await chooseFiles(page, {
    name: "letter.wav",
    mimeType: "audio/wav",
    buffer: Buffer.from("no recording".repeat(50)),
  });
  await startQueue(page);
  await waitForState(page, "letter.wav", "failed");
  const card = getCard(page, "letter.wav");
  assert.ok((await card.getByRole("alert").innerText()).length > 10);
  await card.getByRole("button", { name: "Try again" }).click();
  await waitForState(page, "letter.wav", "failed");
});

test("what the server refuses of a field is told beside the field", { skip: NO_SPEECH }, async (t) => {
  const { page } = await openPage(t, "plain", { allowed: [/status of 4\d\d/] });
  await page.getByText("More options").click();
  const field = page.getByLabel("Only these ranges");
  await field.fill("9,3");
  await chooseFiles(page, SHORT[0]);
  await startQueue(page);
  await waitForState(page, "en_LJ001-0002.wav", "failed");
  assert.equal(await field.getAttribute("aria-invalid"), "true");
});

test("fields appear only where the server's description lists them", async (t) => {
  const { page } = await openPage(t, "plain");
  await page.getByText("More options").waitFor();
  const described = await page.evaluate(async () => (await fetch("schema/openapi.json")).json());
  const form = JSON.stringify(described.components.schemas);
  assert.equal(
    (await page.getByLabel(/speakers|Speaker diarization/i).count()) > 0,
    /"(diarize|num_speakers|speakers)"/.test(form),
  );
  assert.equal((await page.getByLabel("Adapter").count()) > 0, /"adapter"/.test(form));
});

test("model, language, task, prompt and word times go with the file", { skip: NO_SPEECH }, async (t) => {
  const { page } = await openPage(t, "plain");
  await page.getByLabel("Prompt").fill("Printing, types.");
  await page.getByLabel("Spoken language").selectOption("en");
  await page.getByLabel("Word timestamps").uncheck();
  await chooseFiles(page, SHORT[0]);
  await page.evaluate(() => {
    const { send } = XMLHttpRequest.prototype;
    XMLHttpRequest.prototype.send = function keepForm(form) {
      window.form = [...form.entries()].map(([name, value]) => [name, typeof value === "string" ? value : value.name]);
      send.call(this, form);
    };
  });
  await startQueue(page);
  await page.locator(".transcript-tools").waitFor({ timeout: 60_000 });
  const form = await page.evaluate(() => window.form);
  const wanted = { prompt: "Printing, types.", language: "en", response_format: "verbose_json", stream: "true" };
  for (const [name, value] of Object.entries(wanted)) assert.deepEqual([name, new Map(form).get(name)], [name, value]);
  assert.equal(new Map(form).get("file"), "en_LJ001-0002.wav");
  assert.ok(!form.flat().includes("word"));
});

test("a sample is transcribed by one click", { skip: NO_SPEECH }, async (t) => {
  const { page } = await openPage(t, "jobs");
  const sample = page.locator("button.sample").first();
  await sample.click();
  await page.locator(".transcript-tools").waitFor({ timeout: 60_000 });
  assert.ok(wordsOf(await readTranscript(page)).length > 3);
});

test("files that are dropped on the page are queued", async (t) => {
  const { page } = await openPage(t, "plain");
  await page.evaluate(() => {
    const files = new DataTransfer();
    files.items.add(new File([new Uint8Array(2000)], "dropped.wav", { type: "audio/wav" }));
    const event = (name) => new DragEvent(name, { dataTransfer: files, bubbles: true, cancelable: true });
    for (const name of ["dragenter", "dragover", "drop"]) document.querySelector("main").dispatchEvent(event(name));
  });
  await getCard(page, "dropped.wav").waitFor();
});

test("the text is read to screen readers when it is there", { skip: NO_SPEECH }, async (t) => {
  const { page } = await openPage(t, "plain");
  await chooseFiles(page, SHORT[0]);
  await startQueue(page);
  await page
    .locator("[aria-live], [role=status]")
    .filter({ hasText: "en_LJ001-0002.wav is transcribed" })
    .first()
    .waitFor({
      state: "attached",
      timeout: 60_000,
    });
});

// ---- the server, as a program sees it

async function findJob(server, name) {
  const { data } = await (await ask(server, "v1/jobs")).json();
  return data.find(({ file_name: other }) => other === name);
}

const waitForStatus = (server, id, status) =>
  until(async () => (await (await ask(server, `v1/jobs/${id}`)).json()).status === status, 20);

/** Transcriptions that the server is at, by its metrics. */
async function countAtWork(server) {
  const text = await (await ask(server, "metrics")).text();
  const [, value] = text.match(/^\S*requests_in_flight\S* (\d+)/m) ?? [];
  return Number(value);
}

async function until(check, seconds) {
  const end = Date.now() + 1000 * seconds;
  while (!(await check())) {
    assert.ok(Date.now() < end, `not within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
