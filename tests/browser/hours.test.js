// Two hours of transcript: the page answers at once while it is scrolled, played, searched and edited.
import assert from "node:assert/strict";
import test from "node:test";
import { openPage, takePicture } from "./harness/browser.js";
import { makePeaks, makeTranscript } from "./harness/transcripts.js";
import { showView, storeTranscript } from "./harness/views.js";

const HOURS = 2;
const LONG_TASK_MS = 100;
const MEMORY_MB = 400;

/** The longest task of the page's thread since the last look, in ms; 50 ms and shorter ones count as 0. */
const readLongest = (page) =>
  page.evaluate(async () => {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const longest = Math.max(0, ...window.tasks);
    window.tasks.length = 0;
    return longest;
  });

test("a transcript of two hours is scrolled, played, edited and searched without a task of 100 ms", async (t) => {
  const { page, context } = await openPage(t, "plain");
  await context.addInitScript(() => {
    window.tasks = [];
    new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({
      type: "longtask",
    });
  });
  const made = makeTranscript({ minutes: 60 * HOURS, speakers: 3, seconds: 5 });
  const about = { fileName: "hours.wav", audioSeconds: 3600 * HOURS, peaks: makePeaks(3600 * HOURS) };
  const id = await storeTranscript(page, made, about);
  await page.reload(); // the observer is there from now on
  const longest = {};
  /** Does it, and again where another process may have held the page up: what is the page's own comes each time. */
  const measure = async (what, act) => {
    longest[what] = Infinity;
    for (let round = 0; round < 3 && longest[what] >= LONG_TASK_MS; round += 1) {
      await readLongest(page);
      await act(round);
      longest[what] = Math.min(longest[what], await readLongest(page));
    }
  };

  await measure("open", async () => {
    await showView(page, "live");
    await showView(page, "transcript", id);
    await page.locator(`#segment-${made.segments.length - 1}`).waitFor({ state: "attached", timeout: 30_000 });
  });
  await measure("scroll", async () => {
    for (let at = 0; at <= 10; at += 1) {
      await page.evaluate((part) => window.scrollTo(0, (part / 10) * document.body.scrollHeight), at);
      await page.mouse.wheel(0, 400);
      await page.waitForTimeout(60);
    }
  });
  await measure("play", async () => {
    await page.evaluate(() => window.scrollTo(0, 0));
    await page.locator("#segment-1 [data-word='0']").click();
    await page.waitForTimeout(1000);
    await page.getByRole("slider", { name: "Position" }).fill("3600");
    await page.locator(".segment[data-playing]").waitFor();
    await page.waitForTimeout(500);
    await page.getByRole("button", { name: "Pause" }).click();
  });
  await measure("type", async (round) => {
    const row = page.locator(`#segment-${700 + round}`);
    await row.scrollIntoViewIfNeeded();
    await row.locator(".segment-edit").click();
    await page.keyboard.type(" and typed on, letter by letter, for a while", { delay: 15 });
    await page.waitForTimeout(600); // it is saved
    await page.keyboard.press("Enter");
    await page.locator(".keeping-state[data-saving=saved]").waitFor();
  });
  await measure("find", async () => {
    await page.keyboard.press("/");
    await page.keyboard.type("invention", { delay: 40 });
    await page.getByText(/^\d+ of \d+$/).waitFor();
    await page.keyboard.press("Escape");
  });

  await takePicture(page, "hours");
  const { bytes } = await measureMemory(page);
  t.diagnostic(`longest tasks in ms: ${JSON.stringify(longest)}`);
  t.diagnostic(
    `${made.segments.length} segments, ${made.words.length} words: ${(bytes / 1e6).toFixed(0)} MB of JavaScript`,
  );
  for (const [what, ms] of Object.entries(longest)) assert.ok(ms < LONG_TASK_MS, `${what}: ${ms} ms`);
  assert.ok(bytes < MEMORY_MB * 1e6, `${bytes} bytes`);
});

/** Bytes of the page's JavaScript after its garbage was collected. */
async function measureMemory(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  return { bytes: usedSize };
}
