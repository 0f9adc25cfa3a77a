// What was done: the server's jobs for this key and what this browser keeps, to open, delete and send again.
import assert from "node:assert/strict";
import test from "node:test";
import { NO_SPEECH, speech, wordsOf } from "./harness/audio.js";
import { openPage, takePicture } from "./harness/browser.js";
import { ask, KEYS } from "./harness/servers.js";
import { makeTranscript } from "./harness/transcripts.js";
import {
  chooseFiles,
  readTranscript,
  showView,
  startQueue,
  storeTranscript,
  transcribe,
  waitForState,
} from "./harness/views.js";

const row = (page, name) => page.locator(".history-row").filter({ hasText: name });

test("a server without jobs has what this browser keeps: the newest first, found by name", async (t) => {
  const { page } = await openPage(t, "plain");
  for (const fileName of ["first.wav", "second.wav"])
    await storeTranscript(page, makeTranscript({ minutes: 1 }), { fileName });
  await showView(page, "history");
  await row(page, "second.wav").waitFor();
  const names = await page.locator(".history-name").allInnerTexts();
  assert.deepEqual(
    names.map((name) => name.trim()),
    ["second.wav", "first.wav"],
  );
  await page.getByRole("searchbox").fill("FIRST");
  await row(page, "second.wav").waitFor({ state: "detached" });
  await row(page, "first.wav").getByRole("link").click();
  await page.locator("#segment-0").waitFor();
});

test("what was transcribed is opened from the history, and deleted there", { skip: NO_SPEECH }, async (t) => {
  const { page } = await openPage(t, "plain");
  const text = await transcribe(page, speech("en_LJ001-0008.wav"));
  await showView(page, "history");
  await row(page, "en_LJ001-0008.wav").getByRole("link").click();
  await page.locator("#segment-0").waitFor();
  assert.equal(await readTranscript(page), text);
  await showView(page, "history");
  await row(page, "en_LJ001-0008.wav")
    .getByRole("button", { name: /^Delete/ })
    .click();
  await row(page, "en_LJ001-0008.wav").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Undo" }).click();
  await row(page, "en_LJ001-0008.wav").waitFor();
});

test("a recording that is kept is sent again", { skip: NO_SPEECH }, async (t) => {
  const { page } = await openPage(t, "plain");
  const text = await transcribe(page, speech("en_LJ001-0008.wav"));
  await showView(page, "history");
  await row(page, "en_LJ001-0008.wav")
    .getByRole("button", { name: /again$/ })
    .click();
  await page.waitForURL(/#transcribe$/);
  await page.locator(".queue-card[data-state=ready]").waitFor();
  await startQueue(page);
  await page.locator(".transcript-tools").waitFor({ timeout: 60_000 });
  assert.deepEqual(wordsOf(await readTranscript(page)), wordsOf(text));
});

test("a job that another program made is there, and opens without its recording", { skip: NO_SPEECH }, async (t) => {
  const { page, server } = await openPage(t, "jobs");
  const form = new FormData();
  const { readFileSync } = await import("node:fs");
  form.append("file", new Blob([readFileSync(speech("en_LJ001-0002.wav"))]), "by-a-program.wav");
  const made = await (await ask(server, "v1/jobs", { method: "POST", body: form })).json();
  await showView(page, "history");
  await page
    .locator(".history-row[data-state=done]")
    .filter({ hasText: "by-a-program.wav" })
    .waitFor({ timeout: 30_000 });
  await takePicture(page, "history-jobs");
  await row(page, "by-a-program.wav").getByRole("link").click();
  await page.locator("#segment-0").waitFor();
  assert.match(await readTranscript(page), /modern/i);
  await page.getByText("The recording is not in this browser").waitFor();
  await showView(page, "history");
  await row(page, "by-a-program.wav")
    .getByRole("button", { name: /^Delete/ })
    .click();
  await page.waitForResponse((response) => response.request().method() === "DELETE", { timeout: 12_000 });
  assert.equal((await ask(server, `v1/jobs/${made.id}`)).status, 404);
});

test("a job whose file is no recording stands there as failed, with the reason", async (t) => {
  const { page, server } = await openPage(t, "jobs");
  const form = new FormData();
  form.append("file", new Blob(["no recording".repeat(50)]), "letter.wav");
  await ask(server, "v1/jobs", { method: "POST", body: form });
  await showView(page, "history");
  await page.locator(".history-row[data-state=failed]").filter({ hasText: "letter.wav" }).waitFor({ timeout: 30_000 });
  assert.ok((await row(page, "letter.wav").locator(".history-error").innerText()).length > 10);
});

test("a key sees its own jobs alone", { skip: NO_SPEECH }, async (t) => {
  const { page } = await openPage(t, "keys", { allowed: [/status of 40[13]/] });
  await page.getByRole("button", { name: "Enter the API key" }).click();
  await page.locator("#api-key").fill(KEYS.user);
  await page.getByRole("button", { name: "Use the key" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await chooseFiles(page, speech("en_LJ001-0002.wav"), speech("en_LJ001-0008.wav"));
  await startQueue(page);
  for (const name of ["en_LJ001-0002.wav", "en_LJ001-0008.wav"]) await waitForState(page, name, "done");
  await showView(page, "history");
  await row(page, "en_LJ001-0008.wav").waitFor();
  const { page: others } = await openPage(t, "keys", { hash: "#history", allowed: [/status of 40[13]/] });
  await others.getByRole("button", { name: "Enter the API key" }).click();
  await others.locator("#api-key").fill(KEYS.other);
  await others.getByRole("button", { name: "Use the key" }).click();
  await others.getByRole("dialog").waitFor({ state: "detached" });
  await others.getByText("Nothing here yet").waitFor();
});
