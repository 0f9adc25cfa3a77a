// The page for everyone: barriers, widths, dark and light, languages, how fast it opens, and that nothing jumps.
import assert from "node:assert/strict";
import test from "node:test";
import { makeTranscript } from "./harness/transcripts.js";
import { openPage, takePicture } from "./harness/browser.js";
import {
  findBarriers,
  getLayoutShift,
  getOverflow,
  settle,
  showView,
  storeTranscript,
  VIEWS,
  watchLayout,
} from "./harness/views.js";

const FIRST_LOAD_BYTES = 200_000;
const FIRST_LOAD_MS = 1000;
const LAYOUT_SHIFT = 0.02;

/** Each view of a page that keeps a transcript, one after another. */
async function eachView(page, look) {
  const id = await storeTranscript(page, makeTranscript({ minutes: 3, speakers: 2 }), { fileName: "talk.wav" });
  for (const name of VIEWS) {
    await showView(page, name);
    await look(name);
  }
  await showView(page, "transcript", id);
  await look("transcript");
}

for (const colorScheme of ["light", "dark"]) {
  test(`axe-core finds no barrier in any view (${colorScheme})`, async (t) => {
    const { page } = await openPage(t, "jobs", { context: { colorScheme } });
    const found = {};
    await eachView(page, async (name) => {
      const barriers = await findBarriers(page);
      if (barriers.length) found[name] = barriers;
      await takePicture(page, `${name}-${colorScheme}`);
    });
    assert.deepEqual(found, {});
  });
}

for (const [width, height] of [
  [390, 844],
  [1600, 1000],
  [3840, 2160],
]) {
  test(`no view scrolls sideways at ${width} pixels`, async (t) => {
    const { page } = await openPage(t, "jobs", { context: { viewport: { width, height } } });
    const wider = {};
    await eachView(page, async (name) => {
      const pixels = await getOverflow(page);
      if (pixels > 0) wider[name] = pixels;
      if (width < 3840) await takePicture(page, `${name}-${width}`);
    });
    assert.deepEqual(wider, {});
  });
}

test("at 390 pixels every button is at least 24 pixels high and wide", async (t) => {
  const { page } = await openPage(t, "jobs", { context: { viewport: { width: 390, height: 844 }, hasTouch: true } });
  const small = {};
  await eachView(page, async (name) => {
    const found = await page.locator("button:visible").evaluateAll((buttons) =>
      buttons
        .map((button) => [button.textContent || button.ariaLabel, button.getBoundingClientRect()])
        .filter(([, { width, height }]) => width > 1 && (width < 24 || height < 24))
        .map(([label, { width, height }]) => `${label}: ${width} x ${height}`),
    );
    if (found.length) small[name] = found;
  });
  assert.deepEqual(small, {});
});

const LANGUAGES = { "en-GB": "en", "ja-JP": "ja", "de-AT": "de", "ko-KR": "ko", "zh-CN": "zh" };
const NOT_TRANSLATED = /^(page|transcribe|transcript|player|live|history|health|error)\.[a-zA-Z.]+$/m;

for (const [locale, code] of Object.entries(LANGUAGES)) {
  test(`a browser in ${locale} sees the page in ${code}`, async (t) => {
    const { page } = await openPage(t, "jobs", { context: { locale } });
    assert.equal(await page.locator("html").getAttribute("lang"), code);
    await eachView(page, async (name) => {
      const text = await page.locator("body").innerText();
      assert.doesNotMatch(text, NOT_TRANSLATED, name);
      if (code === "ja") await takePicture(page, `${name}-ja`);
    });
  });
}

test("another language is chosen in the header, and is there again when the page is opened again", async (t) => {
  const { page } = await openPage(t, "jobs");
  const choice = page.locator("header select");
  await choice.selectOption("de");
  await page.getByRole("link", { name: "Verlauf" }).waitFor();
  await page.reload();
  await page.getByRole("link", { name: "Verlauf" }).waitFor();
  assert.equal(await page.locator("html").getAttribute("lang"), "de");
});

test("the appearance is chosen in the header against the system's", async (t) => {
  const { page } = await openPage(t, "jobs", { context: { colorScheme: "light" } });
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).colorScheme);
  const choice = page.getByRole("button", { name: /^Appearance/ });
  await choice.click(); // light
  await choice.click(); // dark
  assert.equal(await ground(), "dark");
  await page.reload();
  assert.equal(await ground(), "dark");
});

test("the first load is under 200 kB, and stands within a second", async (t) => {
  const { context } = await openPage(t, "jobs");
  const loads = [];
  for (let round = 0; round < 3; round += 1) loads.push(await measureLoad(context));
  const quickest = Math.min(...loads.map(({ ms }) => ms));
  t.diagnostic(`first load: ${loads[0].bytes} bytes, ${loads[0].requests} requests, ${quickest.toFixed(0)} ms`);
  assert.ok(loads[0].bytes < FIRST_LOAD_BYTES, `${loads[0].bytes} bytes`);
  assert.ok(quickest < FIRST_LOAD_MS, `${quickest} ms`);
});

/** A first load with an empty cache: bytes as transferred, and ms until the first view stands. */
async function measureLoad(context) {
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  await session.send("Network.enable");
  await session.send("Network.setCacheDisabled", { cacheDisabled: true });
  let [bytes, requests] = [0, 0];
  session.on("Network.loadingFinished", ({ encodedDataLength }) => {
    bytes += encodedDataLength;
    requests += 1;
  });
  await page.addInitScript(() => {
    const look = () =>
      document.querySelector("main h1, main h2") ? (window.stoodAt = performance.now()) : setTimeout(look, 5);
    look();
  });
  await page.goto(context.pages()[0].url(), { waitUntil: "networkidle" });
  await page.waitForFunction(() => window.stoodAt > 0);
  const ms = await page.evaluate(() => window.stoodAt);
  await page.close();
  return { bytes, requests, ms };
}

test("nothing jumps while any view is loaded", async (t) => {
  const { page, context } = await openPage(t, "jobs");
  const id = await storeTranscript(page, makeTranscript({ minutes: 3, speakers: 2 }), {
    fileName: "talk.wav",
    audioSeconds: 180,
  });
  await watchLayout(context);
  const jumps = {};
  for (const name of [...VIEWS, `transcript/${id}`]) {
    await page.evaluate((hash) => (location.hash = hash), `#${name}`);
    await page.reload();
    await settle(page);
    await page.waitForLoadState("networkidle");
    const { sum, shifts } = await getLayoutShift(page);
    if (sum >= LAYOUT_SHIFT) jumps[name] = shifts;
  }
  assert.deepEqual(jumps, {});
});

test("with the system's own few colours the tab of this view is still told from the others", async (t) => {
  const { page } = await openPage(t, "plain", { context: { forcedColors: "active" } });
  const borders = await page
    .locator(".tabs a")
    .evaluateAll((tabs) => tabs.map((tab) => window.getComputedStyle(tab).borderBottomColor));
  assert.equal(new Set(borders.slice(1)).size, 1);
  assert.notEqual(borders[0], borders[1]);
});
