// A transcript: heard by a click on a word, edited, undone, searched, its speakers renamed; all of it kept by the browser.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { makeRecording, NO_SPEECH, speech } from "./harness/audio.js";
import { openPage, takePicture } from "./harness/browser.js";
import { makePeaks, makeTranscript } from "./harness/transcripts.js";
import { readTranscript, settle, showView, storeTranscript, transcribe } from "./harness/views.js";

/** A page that shows a made-up transcript of a minute, with its recording. */
async function openTranscript(t, { minutes = 1, speakers = 0, ...body } = {}, about = {}) {
  const opened = await openPage(t, "plain");
  const made = { ...makeTranscript({ minutes, speakers }), ...body };
  const given = { fileName: "talk.wav", audioSeconds: 60 * minutes, peaks: makePeaks(60 * minutes), ...about };
  const id = await storeTranscript(opened.page, made, given);
  await showView(opened.page, "transcript", id);
  await opened.page.locator(".segment").first().waitFor();
  return { ...opened, id, body: made };
}

const segment = (page, index) => page.locator(`#segment-${index}`);
const position = (page) => page.getByRole("slider", { name: "Position" });
const readTime = async (page) => Number(await position(page).inputValue());
const waitUntilSaved = (page) => page.locator(".keeping-state[data-saving=saved]").waitFor();

/** Types in place of a segment's text, as a reader does. */
async function edit(page, index, text) {
  await segment(page, index).getByRole("button", { name: /^Edit/ }).click();
  const field = segment(page, index).getByRole("textbox");
  await field.fill(text);
  await field.press("Enter");
}

// ---- listening

test("a click on a word plays from where it is said", async (t) => {
  const { page, body } = await openTranscript(t);
  const word = body.segments[3].words[4];
  await segment(page, 3).locator("[data-word='4']").click();
  await page.getByRole("button", { name: "Pause" }).waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  const time = await readTime(page);
  assert.ok(time >= word.start - 0.15 && time < word.start + 3, `${time}, not from ${word.start} on`);
});

test("the word that is heard is marked, and the next one after it", async (t) => {
  const { page, body } = await openTranscript(t);
  await segment(page, 1).locator("[data-word='0']").click();
  const marked = page.locator(".segment[data-playing] [data-word][data-playing]");
  await marked.waitFor();
  await page.waitForFunction((last) => {
    const word = document.querySelector("[data-word][data-playing]");
    return word?.closest("#segment-1") && Number(word.dataset.word) >= last;
  }, 2);
  assert.ok(body.segments[1].words.length > 3);
});

test("what is played stays in view", async (t) => {
  const { page } = await openTranscript(t, { minutes: 4 });
  await position(page).fill("200");
  const played = page.locator(".segment[data-playing]");
  await played.waitFor();
  const box = await played.boundingBox();
  assert.ok(box.y >= 0 && box.y < 800, `at ${box.y}`);
});

test("the recording is played by keys: space, arrows, speed", async (t) => {
  const { page } = await openTranscript(t);
  await segment(page, 0).locator(".segment-text").focus();
  await page.locator("h1").click();
  await page.keyboard.press("Space");
  await page.getByRole("button", { name: "Pause" }).waitFor();
  await page.keyboard.press("Space");
  await page.getByRole("button", { name: "Play", exact: true }).waitFor();
  const before = await readTime(page);
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction((from) => Number(document.querySelector(".player-slider").value) > from + 4, before);
  await page.keyboard.press("ArrowLeft");
  await page.waitForFunction((from) => Number(document.querySelector(".player-slider").value) < from + 1, before);
  await page.keyboard.press("+");
  await page.waitForFunction(() => document.querySelector(".player-rate select").value === "1.25");
});

test("without a pointer: by tab to a segment, by arrows to a word, by enter to its sound, by E to its text", async (t) => {
  const { page, body } = await openTranscript(t);
  await segment(page, 0).locator(".segment-text").focus();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.closest(".segment")?.id), "segment-1");
  for (let count = 0; count < 3; count += 1) await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Pause" }).waitFor();
  const word = body.segments[1].words[2];
  await page.waitForFunction((from) => Number(document.querySelector(".player-slider").value) >= from, word.start - 0.15);
  await page.keyboard.press("e");
  await segment(page, 1).getByRole("textbox").waitFor();
  await page.keyboard.press("End");
  await page.keyboard.type(" Typed.");
  await page.keyboard.press("Escape");
  assert.match(await segment(page, 1).locator(".segment-text").innerText(), /Typed\.$/);
  await page.keyboard.press("Control+z");
  assert.doesNotMatch(await segment(page, 1).locator(".segment-text").innerText(), /Typed/);
});

test("words of low probability are underlined, with their probability as a description", async (t) => {
  const { page, body } = await openTranscript(t);
  const doubtful = body.segments[0].words.filter(({ probability }) => probability < 0.5).length;
  assert.ok(doubtful > 0);
  assert.equal(await segment(page, 0).locator(".is-unsure").count(), doubtful);
  const first = segment(page, 0).locator(".is-unsure").first();
  assert.match(await first.getAttribute("aria-description"), /31 %/);
  assert.match(await first.evaluate((word) => getComputedStyle(word).textDecorationLine), /underline/);
});

test("what was left out is listed with the reason, and shown on the timeline", async (t) => {
  const skipped = [{ start: 12, end: 20, reason: "vad" }, { start: 40, end: 44, reason: "hallucination" }];
  const { page } = await openTranscript(t, { skipped, warnings: ["The recording ends in a word."] });
  await page.getByText("The recording ends in a word.").waitFor();
  await page.getByText(/Left out: 2/).click();
  await page.getByText(/no speech was detected/).first().waitFor();
  await page.getByText(/unlikely words beside silence/).first().waitFor();
  await page.locator(".waveform").waitFor();
  await page.waitForFunction(() => {
    const roots = [...document.querySelectorAll(".waveform, .waveform *")].map((element) => element.shadowRoot ?? element);
    return roots.some((root) => root.querySelectorAll("[part~=region]").length === 2);
  });
  await takePicture(page, "transcript-skipped");
});

// ---- editing

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
  await search.getByRole("button", { name: "Close the search" }).click();
  await page.getByRole("button", { name: "Undo" }).click();
  assert.doesNotMatch(await readTranscript(page), /weaving/);
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
    (count) => [...document.querySelectorAll(".segment-speaker")].filter(({ innerText }) => innerText === "Ada").length === count,
    spoken,
  );
  assert.equal(await page.locator(".segment-speaker", { hasText: "SPEAKER_00" }).count(), 0);
  const colours = await page.locator(".segment-speaker").evaluateAll((names) =>
    names.map((name) => `${name.innerText} ${getComputedStyle(name).color}`),
  );
  assert.equal(new Set(colours).size, 2);
  await takePicture(page, "transcript-speakers");
  await waitUntilSaved(page);
  await page.reload();
  await page.locator(".segment-speaker", { hasText: "Ada" }).first().waitFor();
  assert.equal(await page.locator(".segment-speaker", { hasText: "Ada" }).count(), spoken);
});

// ---- what the browser keeps

test("text and recording are deleted from the browser by a button, after a question", async (t) => {
  const { page, id } = await openTranscript(t);
  await page.getByRole("button", { name: "Delete the recording" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByText("The recording is not in this browser").waitFor();
  await page.getByRole("button", { name: "Delete the transcript" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.waitForURL(/#history$/);
  await showView(page, "transcript", id);
  await page.locator("h1", { hasText: "Transcript" }).waitFor();
  assert.equal(await page.locator(".segment").count(), 0);
});

test("recording and text are there when the page is opened again, and what is heard is the file", { skip: NO_SPEECH }, async (t) => {
  const { page } = await openPage(t, "plain");
  const text = await transcribe(page, speech("en_jfk.mp3"));
  await page.reload();
  await settle(page);
  assert.equal(await readTranscript(page), text);
  await page.getByRole("button", { name: "Play", exact: true }).click();
  await page.waitForFunction(() => Number(document.querySelector(".player-slider").value) > 0.2);
  assert.ok(Math.abs(Number(await position(page).getAttribute("max")) - 11) < 0.2);
});

test("the server keeps nothing of a file that is no job", { skip: NO_SPEECH }, async (t) => {
  const { page, server } = await openPage(t, "plain");
  await transcribe(page, makeRecording("private.wav", ["en_LJ001-0002.wav"]));
  const response = await fetch(new URL("v1/jobs", server.api));
  assert.equal(response.status, 404);
  assert.doesNotMatch(readFileSync(server.log, "utf8"), /modern/i);
});
