// What is downloaded is what the API gives for the same file with the same options, byte for byte; after an edit, what
// is on the page; and always of the file it belongs to.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { makeRecording, NO_SPEECH, speech } from "./harness/audio.js";
import { openPage } from "./harness/browser.js";
import { ask } from "./harness/servers.js";
import { makeTranscript } from "./harness/transcripts.js";
import {
  chooseFiles,
  getCard,
  showView,
  startQueue,
  storeTranscript,
  transcribe,
  waitForState,
} from "./harness/views.js";

const FORMATS = { txt: "text", srt: "srt", vtt: "vtt", json: "verbose_json" };
const LJ = ["en_LJ001-0002.wav", "en_LJ001-0005.wav", "en_LJ001-0008.wav"];

/** What the API answers to the file with the page's own options, byte for byte. */
async function askFor(server, file, format, granularities) {
  const form = new FormData();
  form.append("file", new Blob([readFileSync(file)]), file.split("/").at(-1));
  form.append("response_format", format);
  for (const granularity of granularities) form.append("timestamp_granularities[]", granularity);
  return readBytes(await ask(server, "v1/audio/transcriptions", { method: "POST", body: form }));
}

async function readBytes(response) {
  assert.equal(response.status, 200);
  return Buffer.from(await response.arrayBuffer());
}

/** The file that a button of the page gives: its name and bytes. */
async function download(page, format) {
  const [file] = await Promise.all([
    page.waitForEvent("download"),
    page.locator(`.exports [data-format=${format}]`).click(),
  ]);
  return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
}

function assertSame(format, { bytes }, wanted) {
  assert.equal(bytes.toString(), wanted.toString(), format);
  assert.ok(bytes.equals(wanted), `${format}: other bytes`);
}

test("each export of a file has the bytes of the API's own response", { skip: NO_SPEECH }, async (t) => {
  const { page, server } = await openPage(t, "plain");
  const file = speech("en_jfk.mp3");
  await page.getByLabel("Word timestamps").uncheck();
  await transcribe(page, file);
  for (const [format, name] of Object.entries(FORMATS)) {
    assertSame(format, await download(page, format), await askFor(server, file, name, []));
  }
});

test("with word timestamps too, which move the times of segments", { skip: NO_SPEECH }, async (t) => {
  const { page, server } = await openPage(t, "plain");
  const file = speech("en_LJ001-0005.wav");
  await transcribe(page, file);
  for (const [format, name] of Object.entries(FORMATS)) {
    assertSame(format, await download(page, format), await askFor(server, file, name, ["segment", "word"]));
  }
});

test("each export of a job has the bytes of that job's result in this format", { skip: NO_SPEECH }, async (t) => {
  const { page, server } = await openPage(t, "jobs");
  await chooseFiles(page, makeRecording("forty.wav", LJ, { seconds: 40, pause: 3 }), speech("en_LJ001-0008.wav"));
  await startQueue(page);
  await waitForState(page, "forty.wav", "done");
  await getCard(page, "forty.wav").getByRole("link", { name: "Open" }).click();
  await page.locator(".transcript-tools").waitFor();
  const { data } = await (await ask(server, "v1/jobs")).json();
  const { id } = data.find(({ file_name: name }) => name === "forty.wav");
  for (const [format, name] of Object.entries(FORMATS)) {
    assertSame(
      format,
      await download(page, format),
      await readBytes(await ask(server, `v1/jobs/${id}/result?format=${name}`)),
    );
  }
});

test(
  "of two files each export is the one's whose transcript is open, with its name",
  { skip: NO_SPEECH },
  async (t) => {
    const { page } = await openPage(t, "plain");
    await transcribe(page, speech("en_LJ001-0002.wav"));
    const first = page.url();
    await showView(page, "transcribe");
    await transcribe(page, speech("en_LJ001-0008.wav"));
    const later = await download(page, "txt");
    assert.deepEqual([later.name, /surpassed/i.test(later.bytes)], ["en_LJ001-0008.txt", true]);
    await page.goto(first);
    await page.locator("h1", { hasText: "en_LJ001-0002.wav" }).waitFor();
    const earlier = await download(page, "txt");
    assert.deepEqual([earlier.name, /modern/i.test(earlier.bytes)], ["en_LJ001-0002.txt", true]);
  },
);

test("after an edit every export has it, with the speakers' names, and the rest as it was", async (t) => {
  const { page } = await openPage(t, "plain");
  const body = makeTranscript({ minutes: 1, speakers: 2 });
  await showView(page, "transcript", await storeTranscript(page, body, { fileName: "talk.wav" }));
  await page.locator("#segment-1").getByRole("button", { name: /^Edit/ }).click();
  await page.locator("#segment-1").getByRole("textbox").fill("Written by hand & kept.");
  await page.locator("#segment-1").getByRole("textbox").press("Enter");
  await page.getByLabel("Name of SPEAKER_00, everywhere").fill("Ada");
  for (const format of Object.keys(FORMATS)) {
    const text = (await download(page, format)).bytes.toString();
    assert.match(text, /Written by hand &(amp;)? kept\./, format);
    assert.match(text, /Printing in the only sense/, format);
    if (format !== "txt") assert.match(text, /Ada/, format);
  }
  const { segments } = JSON.parse((await download(page, "json")).bytes);
  assert.equal(segments[0].avg_logprob, body.segments[0].avg_logprob);
});
