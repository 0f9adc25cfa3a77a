// The pictures of docs/web.md, which `make docs-screenshots` puts into docs/images.
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { makeRecording, NO_SPEECH, speech } from "./harness/audio.js";
import { launch, openPage, takePicture } from "./harness/browser.js";
import { edit, openTranscript } from "./harness/opened.js";
import { ROOT } from "./harness/servers.js";
import { chooseFiles, settle, showView, startQueue, transcribe, waitForState } from "./harness/views.js";

const LARGEST_BYTES = 150_000;

/** A picture for the docs, in calm: nothing is focused, nothing moves. */
async function picture(page, name) {
  await page.evaluate(() => document.activeElement?.blur());
  await settle(page);
  await takePicture(page, `docs-${name}`, { animations: "disabled", caret: "hide" });
  const { size } = statSync(join(ROOT, `build/screenshots/docs-${name}.png`));
  assert.ok(size < LARGEST_BYTES, `${size} bytes`);
}

const SHAPE = { viewport: { width: 1200, height: 720 } };

test("pictures of a transcript and of several files", { skip: NO_SPEECH }, async (t) => {
  const { page } = await openPage(t, "jobs", { context: SHAPE });
  await transcribe(page, speech("en_jfk.mp3"));
  await page.locator(".waveform").waitFor();
  await page.locator("#segment-0 [data-word='4']").click();
  await page.waitForTimeout(400);
  await page.getByRole("button", { name: "Pause" }).click();
  await picture(page, "transcript");
  await showView(page, "transcribe");
  await chooseFiles(page, speech("en_LJ001-0005.wav"), speech("en_LJ001-0014.wav"));
  await startQueue(page);
  for (const name of ["en_LJ001-0005.wav", "en_LJ001-0014.wav"]) await waitForState(page, name, "done");
  await page.evaluate(() => window.scrollTo(0, 0));
  await picture(page, "transcribe");
});

test("a picture of speakers in the dark, on a narrow screen", async (t) => {
  const body = { skipped: [{ start: 12, end: 20, reason: "vad" }] };
  const { page } = await openTranscript(t, { speakers: 2, ...body });
  await page.setViewportSize({ width: 420, height: 820 });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.getByLabel("Name of SPEAKER_00, everywhere").fill("Ada");
  await page.getByLabel("Name of SPEAKER_01, everywhere").fill("Charles");
  await edit(
    page,
    0,
    "Printing, in the only sense with which we are at present concerned, differs from most of the arts.",
  );
  await page.evaluate(() => window.scrollTo(0, 260));
  await picture(page, "speakers");
});

test("pictures of live captions and of health", { skip: NO_SPEECH }, async (t) => {
  const clips = ["en_LJ001-0005.wav", "en_LJ001-0011.wav"];
  const browser = await launch(makeRecording("pictures.wav", clips, { before: 0.5, after: 40, pause: 1.5 }));
  t.after(() => browser.close());
  const { page } = await openPage(t, "plain", {
    hash: "#live",
    browser,
    context: { permissions: ["microphone"], ...SHAPE },
  });
  await page.getByRole("button", { name: "Start captions" }).click();
  await page
    .getByRole("log")
    .getByText(/printing/i)
    .waitFor({ timeout: 30_000 });
  await page
    .locator(".live-line.pending")
    .filter({ hasText: /importance/i })
    .waitFor({ timeout: 30_000 });
  await picture(page, "live");
  await showView(page, "health");
  await page.waitForTimeout(4500); // the graphs get their first points
  await picture(page, "health");
});
