// Live captions: Chromium's fake microphone plays a WAV; the text is there, also after the socket was cut.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test, { after } from "node:test";
import { makeRecording, NO_SPEECH, wordsOf } from "./harness/audio.js";
import { launch, openPage, takePicture } from "./harness/browser.js";
import { startProxy } from "./harness/proxy.js";
import { serve } from "./harness/servers.js";

const FIRST = "en_LJ001-0005.wav"; // … the art of printing
const SECOND = "en_LJ001-0011.wav"; // … fine in form
const browsers = [];
after(() => Promise.all(browsers.map((browser) => browser.close())));

/** The live view of a browser whose microphone says these recordings once. */
async function openLive(t, name, clips, { url, before = 0.5, ...more } = {}) {
  const browser = await launch(makeRecording(name, clips, { before, after: 40, pause: 2.5 }));
  browsers.push(browser);
  const context = { permissions: ["microphone"] };
  return openPage(t, "plain", { hash: "#live", browser, context, url, ...more });
}

const captions = (page) => page.getByRole("log", { name: "Captions" });
const start = (page) => page.getByRole("button", { name: "Start captions" }).click();
const badge = (page) => page.locator(".live-badge");

test(
  "what the microphone hears is there as text: partial, then final, then as a transcript",
  { skip: NO_SPEECH },
  async (t) => {
    const { page } = await openLive(t, "microphone.wav", [FIRST]);
    await start(page);
    await badge(page).getByText("Listening").waitFor();
    await page
      .locator(".live-line.pending")
      .filter({ hasText: /invention/i })
      .waitFor({ timeout: 30_000 });
    await page.waitForFunction(() => Number(document.querySelector("[role=meter]").getAttribute("aria-valuenow")) > 0);
    await takePicture(page, "live-captions");
    await captions(page)
      .getByText(/printing/i)
      .waitFor({ timeout: 30_000 });
    await page.getByRole("button", { name: "Stop" }).click();
    await badge(page).getByText("Finished").waitFor();
    const said = wordsOf(await captions(page).innerText()).join(" ");
    assert.match(said, /invention of movable metal letters in the middle of the/);
    assert.match(said, /invention of the art of printing/);
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "txt" }).click(),
    ]);
    assert.match(readFileSync(await file.path(), "utf8"), /movable metal letters/i);
    await page.getByRole("button", { name: "Open the transcript" }).click();
    await page.locator("#segment-0").waitFor();
    assert.match(await page.locator("#segment-0").innerText(), /movable metal/i);
    await page.getByRole("button", { name: "Play", exact: true }).waitFor();
  },
);

test(
  "a socket that is cut is told and recovered, and what was said meanwhile is not lost",
  { skip: NO_SPEECH },
  async (t) => {
    const proxy = await startProxy((await serve("plain")).url.slice(0, -1));
    const allowed = [/WebSocket connection to/];
    const { page } = await openLive(t, "cut.wav", [FIRST, SECOND], { url: `${proxy.url}/`, allowed });
    t.after(() => proxy.stop()); // after the page is closed
    await start(page);
    await page
      .locator(".live-line")
      .filter({ hasText: /century/i })
      .first()
      .waitFor({ timeout: 30_000 });
    proxy.cutSockets();
    await page.getByText("The connection to the server was lost.").waitFor();
    await takePicture(page, "live-cut");
    await new Promise((resolve) => setTimeout(resolve, 3000));
    proxy.cutSockets(false);
    await page
      .getByRole("button", { name: "Try now" })
      .click({ timeout: 2000 })
      .catch(() => {}); // it may have, by itself
    await badge(page).getByText("Listening").waitFor({ timeout: 30_000 });
    await captions(page).getByText(/form/i).waitFor({ timeout: 40_000 });
    await page.getByRole("button", { name: "Stop" }).click();
    await badge(page).getByText("Finished").waitFor({ timeout: 30_000 });
    const said = wordsOf(await captions(page).innerText()).join(" ");
    assert.match(said, /movable metal letters/);
    assert.match(said, /art of printing/);
    assert.match(said, /letter used should be fine/);
    assert.equal(await page.getByText("The connection to the server was lost.").count(), 0);
  },
);

test("a microphone that the browser does not give is told, with what to do", async (t) => {
  const { page } = await openPage(t, "plain", { hash: "#live", context: { permissions: [] } });
  await page.evaluate(() => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("denied", "NotAllowedError"));
  });
  await start(page);
  await page
    .getByRole("alert")
    .filter({ hasText: /Allow it in the site settings/ })
    .waitFor();
  await page.getByRole("button", { name: "Start captions" }).waitFor();
});

test("captions pause and go on, and the microphones can be chosen from", { skip: NO_SPEECH }, async (t) => {
  const { page } = await openLive(t, "pause.wav", [SECOND]);
  await start(page);
  await captions(page).getByText(/form/i).waitFor({ timeout: 30_000 });
  await page.getByRole("button", { name: "Pause" }).click();
  await badge(page).getByText("Paused").waitFor();
  assert.ok((await page.getByLabel("Microphone").locator("option").count()) > 1);
  await page.getByRole("button", { name: "Resume" }).click();
  await badge(page).getByText("Listening").waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await badge(page).getByText("Finished").waitFor({ timeout: 30_000 });
});

test("a microphone that opens after the captions were stopped is let go at once", async (t) => {
  const { page } = await openPage(t, "plain", { hash: "#live", context: { permissions: ["microphone"] } });
  await page.evaluate(() => {
    const devices = navigator.mediaDevices;
    const open = devices.getUserMedia.bind(devices);
    globalThis.tracks = [];
    devices.getUserMedia = async (wanted) => {
      if (globalThis.tracks.length) await new Promise((resolve) => setTimeout(resolve, 1500));
      const stream = await open(wanted);
      globalThis.tracks.push(...stream.getTracks());
      return stream;
    };
  });
  await start(page);
  await badge(page).getByText("Listening").waitFor();
  const field = page.locator("#live-device");
  await field.selectOption({ index: 1 });
  await field.selectOption({ index: 0 });
  await page.getByRole("button", { name: "Stop" }).click();
  await badge(page).getByText("Finished").waitFor({ timeout: 30_000 });
  await page.waitForFunction(() => globalThis.tracks.length === 3);
  await page.waitForFunction(() => globalThis.tracks.every((track) => track.readyState === "ended"));
  assert.equal(await badge(page).innerText(), "Finished");
});
