// A transcript is heard by a click on a word and by keys, shows what is unsure and left out, and is kept.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { makeRecording, NO_SPEECH, speech } from "./harness/audio.js";
import { openPage, takePicture } from "./harness/browser.js";
import { openTranscript, position, readTime, segment } from "./harness/opened.js";
import { readTranscript, settle, showView, transcribe } from "./harness/views.js";

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

test("without a pointer: tab to a segment, arrows to a word, enter to its sound, E to its text", async (t) => {
  const { page, body } = await openTranscript(t);
  await segment(page, 0).locator(".segment-text").focus();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.closest(".segment")?.id), "segment-1");
  for (let count = 0; count < 3; count += 1) await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Pause" }).waitFor();
  const word = body.segments[1].words[2];
  await page.waitForFunction(
    (from) => Number(document.querySelector(".player-slider").value) >= from,
    word.start - 0.15,
  );
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
  const skipped = [
    { start: 12, end: 20, reason: "vad" },
    { start: 40, end: 44, reason: "hallucination" },
  ];
  const { page } = await openTranscript(t, { skipped, warnings: ["The recording ends in a word."] });
  await page.getByText("The recording ends in a word.").waitFor();
  await page.getByText(/Skipped: 2/).click();
  await page
    .getByText(/no speech was detected/)
    .first()
    .waitFor();
  await page
    .getByText(/unlikely words beside silence/)
    .first()
    .waitFor();
  await page.locator(".waveform").waitFor();
  await page.waitForFunction(() => {
    const roots = [...document.querySelectorAll(".waveform, .waveform *")].map(
      (element) => element.shadowRoot ?? element,
    );
    return roots.some((root) => root.querySelectorAll("[part~=region]").length === 2);
  });
  await takePicture(page, "transcript-skipped");
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

test("recording and text are there when the page is opened again", { skip: NO_SPEECH }, async (t) => {
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
