// A transcript is edited: saved as it is typed, undone, searched, its speakers renamed, in two tabs at once.
import assert from "node:assert/strict";
import test from "node:test";
import { takePicture } from "./harness/browser.js";
import { edit, openTranscript, segment, waitUntilSaved } from "./harness/opened.js";
import { readTranscript, settle } from "./harness/views.js";

test("an edit is there when the page is opened again", async (t) => {
  const { page } = await openTranscript(t);
  await edit(page, 2, "Written by hand.");
  await waitUntilSaved(page);
  await page.reload();
  await settle(page);
  assert.equal(await segment(page, 2).locator(".segment-text").innerText(), "Written by hand.");
});

test("an edit is not lost when the page is closed at once", async (t) => {
  const { page } = await openTranscript(t);
  await edit(page, 2, "Closed at once.");
  await page.reload();
  await settle(page);
  await segment(page, 2).getByText("Closed at once.").waitFor();
});

test("an edit is undone and done again, by buttons and by keys", async (t) => {
  const { page, body } = await openTranscript(t);
  const text = segment(page, 0).locator(".segment-text");
  const heard = body.segments[0].text.trim();
  await edit(page, 0, "Another text.");
  await page.getByRole("button", { name: "Undo" }).click();
  assert.equal(await text.innerText(), heard);
  await page.getByRole("button", { name: "Redo" }).click();
  assert.equal(await text.innerText(), "Another text.");
  await page.locator("h1").click();
  await page.keyboard.press("Control+z");
  assert.equal(await text.innerText(), heard);
});

test("text is found, counted, stepped through, and replaced everywhere", async (t) => {
  const { page } = await openTranscript(t);
  await page.keyboard.press("/");
  const search = page.getByRole("search");
  await search.getByRole("searchbox").fill("printing");
  const status = search.getByRole("status");
  const [, total] = (await status.innerText()).match(/1 of (\d+)/);
  assert.ok(Number(total) > 2);
  await page.keyboard.press("Enter");
  assert.equal(await status.innerText(), `2 of ${total}`);
  await search.getByLabel("Replace with").fill("weaving");
  await search.getByRole("button", { name: "Replace all" }).click();
  await search.getByText("Not found").waitFor();
  assert.match(await readTranscript(page), /art of weaving/);
  await page.keyboard.press("Escape"); // the button that was pressed is disabled now: the field has the focus
  await search.waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Undo" }).click();
  assert.doesNotMatch(await readTranscript(page), /weaving/);
});

test("replacing one by one goes on behind a replacement that has the query in it", async (t) => {
  const { page } = await openTranscript(t);
  await page.keyboard.press("/");
  const search = page.getByRole("search");
  await search.getByRole("searchbox").fill("printing");
  await search.getByLabel("Replace with").fill("hand printing");
  const replace = search.getByRole("button", { name: "Replace", exact: true });
  await replace.click();
  await search.getByText(/^2 of/).waitFor();
  await replace.click();
  await search.getByText(/^3 of/).waitFor();
  assert.doesNotMatch(await readTranscript(page), /hand hand/);
});

test("a segment that has no speaker is not shown as the first one's, and can be given to it", async (t) => {
  const segments = [
    { id: 0, start: 0, end: 1, text: " One.", speaker: "A" },
    { id: 1, start: 1, end: 2, text: " Two." },
  ];
  const { page } = await openTranscript(t, { segments, words: [] });
  await segment(page, 1).getByRole("button", { name: /^Edit/ }).click();
  const choice = segment(page, 1).getByRole("combobox");
  assert.equal(await choice.inputValue(), "");
  await choice.selectOption("A");
  await segment(page, 1).locator(".segment-speaker", { hasText: "A" }).waitFor();
});

test("the room for recordings is told as the history tells it", async (t) => {
  const { page } = await openTranscript(t);
  const told = page.locator(".keeping").getByText(/^Recordings here/);
  const [, used, limit] = (await told.innerText()).match(/: (.+ [kM]B) of (.+ [MG]B)/);
  await page.goto(page.url().replace(/#.*/, "#history"));
  await page.getByText(`Recordings take ${used} of ${limit}.`).waitFor();
});

test("two tabs edit one transcript: what each changed is there in both", async (t) => {
  const { page, context } = await openTranscript(t);
  const other = await context.newPage();
  await other.goto(page.url());
  await other.locator(".segment").first().waitFor();
  await edit(page, 0, "From the first tab.");
  await segment(other, 0).getByText("From the first tab.").waitFor();
  await edit(other, 1, "From the second tab.");
  await segment(page, 1).getByText("From the second tab.").waitFor();
  assert.equal(await segment(page, 0).locator(".segment-text").innerText(), "From the first tab.");
});

// ---- speakers

test("a speaker is renamed everywhere at once, and keeps name and colour", async (t) => {
  const { page, body } = await openTranscript(t, { speakers: 2 });
  const spoken = body.segments.filter(({ speaker }) => speaker === "SPEAKER_00").length;
  assert.ok(spoken > 2);
  await page.getByLabel("Name of SPEAKER_00, everywhere").fill("Ada");
  await page.waitForFunction(
    (count) =>
      [...document.querySelectorAll(".segment-speaker")].filter(({ innerText }) => innerText === "Ada").length ===
      count,
    spoken,
  );
  assert.equal(await page.locator(".segment-speaker", { hasText: "SPEAKER_00" }).count(), 0);
  const colours = await page
    .locator(".segment-speaker")
    .evaluateAll((names) => names.map((name) => `${name.innerText} ${getComputedStyle(name).color}`));
  assert.equal(new Set(colours).size, 2);
  await takePicture(page, "transcript-speakers");
  await waitUntilSaved(page);
  await page.reload();
  await page.locator(".segment-speaker", { hasText: "Ada" }).first().waitFor();
  assert.equal(await page.locator(".segment-speaker", { hasText: "Ada" }).count(), spoken);
});

