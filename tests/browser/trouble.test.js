// When the server has no room, is gone or unreachable, and when a recording is made: what the page says and does.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openPage } from "./harness/browser.js";
import { makeWav } from "./harness/tone.js";

const cardOf = (page) => page.locator(".queue-card");

/** Adds a file and sends it. */
async function send(page) {
  await page.locator("input[type=file]").setInputFiles({ name: "tone.wav", mimeType: "audio/wav", buffer: makeWav(2) });
  await page.getByRole("button", { name: "Transcribe", exact: true }).click();
}

/** Has the first requests to a path answered by `answer`, and the server answer those after. */
async function answerFirst(page, path, count, answer) {
  let left = count;
  await page.route(path, (route) => ((left -= 1) >= 0 ? answer(route) : route.continue()));
}

const refuse = (route) =>
  route.fulfill({
    status: 503,
    headers: { "retry-after": "2" },
    json: { error: { message: "no room now", type: "server_error", param: null, code: "queue_full" } },
  });

test("a server without room is told with a countdown, and asked again only when the reader wishes", async (t) => {
  const { page } = await openPage(t, "plain", { allowed: [/status of 503/] });
  await answerFirst(page, "**/v1/audio/transcriptions", 1, refuse);
  await send(page);
  await cardOf(page).getByText("no room now").waitFor();
  const countdown = cardOf(page).getByRole("button", { name: /^Retry in \d s$/ });
  await countdown.waitFor();
  await countdown.waitFor({ state: "detached" }); // it has run out, and nothing was sent
  assert.equal(await cardOf(page).getAttribute("data-state"), "failed");
  await cardOf(page).getByRole("button", { name: "Try again" }).click();
  await page.waitForURL(/#transcript\//);
});

test("the file goes by itself when the countdown has run out, where that was wished", async (t) => {
  const { page } = await openPage(t, "plain", { allowed: [/status of 503/] });
  await answerFirst(page, "**/v1/audio/transcriptions", 1, refuse);
  await send(page);
  await cardOf(page)
    .getByRole("button", { name: /^Retry in/ })
    .click();
  await page.waitForURL(/#transcript\//);
});

test("a server that is gone is told, and the notice goes when it answers again", async (t) => {
  const { page } = await openPage(t, "plain", { allowed: [/ERR_CONNECTION_REFUSED/] });
  await page.route("**/v1/audio/transcriptions", (route) => route.abort("connectionrefused"));
  await answerFirst(page, "**/health/live", 2, (route) => route.abort("connectionrefused"));
  await send(page);
  const notice = page.getByText("The server does not answer.");
  await notice.waitFor();
  await cardOf(page).getByText("The server cannot be reached").waitFor();
  await notice.waitFor({ state: "detached" });
});

test("a connection that broke alone is told at the file, not as a server that is gone", async (t) => {
  const { page } = await openPage(t, "plain", { allowed: [/ERR_CONNECTION_RESET/] });
  await page.route("**/v1/audio/transcriptions", (route) => route.abort("connectionreset"));
  const asked = page.waitForResponse("**/health/live");
  await send(page);
  await cardOf(page).getByText("The server cannot be reached").waitFor();
  await asked;
  assert.equal(await page.locator(".server-notice").count(), 0);
});

test("a browser that is offline says so", async (t) => {
  const { page, context } = await openPage(t, "plain", { allowed: [/ERR_INTERNET_DISCONNECTED/] });
  await context.setOffline(true);
  await page.getByText("This device is offline.").waitFor();
  await context.setOffline(false);
  await page.locator(".server-notice").waitFor({ state: "detached" });
});

test("what the microphone records becomes a file, also when another view is opened meanwhile", async (t) => {
  const { page } = await openPage(t, "plain");
  await page.getByRole("button", { name: "Record", exact: true }).click();
  await page.getByRole("timer").getByText("0:01").waitFor();
  await page.getByRole("button", { name: "Stop and add" }).click();
  await cardOf(page)
    .getByText(/^recording .*\.webm$/)
    .waitFor();
  await page.getByRole("button", { name: "Record", exact: true }).click();
  await page.getByRole("timer").getByText("0:01").waitFor();
  await page.evaluate(() => (location.hash = "#history"));
  await page.getByRole("heading", { name: "History", level: 1 }).waitFor();
  await page.evaluate(() => (location.hash = "#transcribe"));
  await cardOf(page).nth(1).waitFor();
  const states = await cardOf(page).evaluateAll((cards) => cards.map((card) => card.dataset.state));
  assert.deepEqual(states, ["ready", "ready"]);
});

test("a recording that is discarded leaves nothing", async (t) => {
  const { page } = await openPage(t, "plain");
  await page.getByRole("button", { name: "Record", exact: true }).click();
  await page.getByRole("timer").getByText("0:01").waitFor();
  await page.getByRole("button", { name: "Discard" }).click();
  await page.getByRole("button", { name: "Choose files" }).waitFor();
  assert.equal(await cardOf(page).count(), 0);
});
