// Each file is sent once and comes to its end: with another key, a lost connection, no room, and when it is cancelled.
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import test from "node:test";
import { keep } from "./harness/audio.js";
import { openPage } from "./harness/browser.js";
import { startProxy } from "./harness/proxy.js";
import { ask, KEYS, serve } from "./harness/servers.js";
import { makeWav } from "./harness/tone.js";
import { chooseFiles, getCard, showView, startQueue, waitForState } from "./harness/views.js";

const wav = (name, seconds = 2) => ({ name, mimeType: "audio/wav", buffer: makeWav(seconds) });
const REFUSED = { error: { message: "no room now", type: "server_error", param: null, code: "queue_full" } };

/** Times in ms of the POSTs to a path, as they are sent. */
function watchPosts(page, path) {
  const times = [];
  page.on("request", (sent) => {
    if (sent.method() === "POST" && new URL(sent.url()).pathname.endsWith(path)) times.push(Date.now());
  });
  return times;
}

/** Has the first request to a path answered by `answer`, and the server answer those after. */
async function answerFirst(page, path, answer) {
  let left = 1;
  await page.route(path, (route) => ((left -= 1) >= 0 ? answer(route) : route.fallback()));
}

test("the dialog of a key that is refused stays closed once the reader has closed it", async (t) => {
  const { page } = await openPage(t, "keys", { allowed: [/status of 40[13]/] });
  await page.evaluate(() => sessionStorage.setItem("neuron-whisper.key", "withdrawn"));
  await page.reload();
  const posts = watchPosts(page, "/v1/audio/transcriptions");
  await chooseFiles(page, wav("a.wav"));
  await startQueue(page);
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.waitForTimeout(500);
  assert.deepEqual([await page.getByRole("dialog").count(), posts.length], [0, 1]);
});

test("a job whose key is withdrawn meanwhile is followed with the next one, and not sent again", async (t) => {
  const { page } = await openPage(t, "keys", { allowed: [/status of 40[13]/] });
  await page.evaluate((key) => sessionStorage.setItem("neuron-whisper.key", key), KEYS.other);
  await page.reload();
  const posts = watchPosts(page, "/v1/jobs");
  const denied = { error: { message: "unknown key", type: "invalid_request_error", code: "invalid_api_key" } };
  await page.route(/v1\/jobs\/job_[^/]+$/, (route) =>
    route.request().headers().authorization.endsWith(KEYS.user) // the jobs of the other key are this one's here
      ? route.continue({ headers: { ...route.request().headers(), authorization: `Bearer ${KEYS.other}` } })
      : route.fulfill({ status: 401, json: denied }),
  );
  await page.route(/v1\/jobs\/job_[^/]+\/(result|segments|peaks)/, (route) =>
    route.continue({ headers: { ...route.request().headers(), authorization: `Bearer ${KEYS.other}` } }),
  );
  await chooseFiles(page, wav("one.wav"), wav("two.wav"));
  await startQueue(page);
  await page.getByRole("dialog").waitFor();
  await page.waitForFunction(() => document.querySelectorAll(".queue-card[data-state=failed]").length === 2);
  await page.getByRole("dialog").locator("#api-key").fill(KEYS.user);
  await page.getByRole("button", { name: "Use the key" }).click();
  for (const name of ["one.wav", "two.wav"]) await waitForState(page, name, "done");
  assert.equal(posts.length, 2);
});

test("a transcript that wants a key is shown when the key was entered", async (t) => {
  const { page, server } = await openPage(t, "keys", { allowed: [/status of 40[13]/] });
  const form = new FormData();
  form.append("file", new Blob([makeWav(2)]), "of-a-job.wav");
  const headers = { authorization: `Bearer ${KEYS.user}` };
  const job = await (await ask(server, "v1/jobs", { method: "POST", body: form, headers })).json();
  await showView(page, "transcript", job.id);
  await page.getByRole("dialog").locator("#api-key").fill(KEYS.user);
  await page.getByRole("button", { name: "Use the key" }).click();
  await page.getByRole("heading", { level: 1, name: "of-a-job.wav" }).waitFor();
});

test("the result of a job that did not come is fetched again, the file is not sent again", async (t) => {
  const { page } = await openPage(t, "jobs", { allowed: [/status of 502/] });
  const posts = watchPosts(page, "/v1/jobs");
  await answerFirst(page, "**/v1/jobs/*/result*", (route) => route.fulfill({ status: 502, body: "<h1>Bad gateway" }));
  await chooseFiles(page, wav("one.wav"), wav("two.wav"));
  await startQueue(page);
  const failed = page.locator(".queue-card[data-state=failed]");
  await failed.getByText("A proxy answered in place of the server (HTTP 502).").waitFor();
  await failed.getByRole("button", { name: "Try again" }).click();
  for (const name of ["one.wav", "two.wav"]) await waitForState(page, name, "done");
  assert.equal(posts.length, 2);
});

test("a job that is cancelled before the page knows its id is cancelled on the server too", async (t) => {
  const server = await serve("jobs");
  let passOn = () => {};
  const held = new Promise((resolve) => (passOn = resolve));
  const proxy = await startProxy(new URL(server.url).origin, "", (method, path) =>
    method === "POST" && path === "/v1/jobs" ? held : undefined,
  );
  t.after(proxy.stop);
  const { page } = await openPage(t, "jobs", { url: `${proxy.url}/`, allowed: [/ERR_CONNECTION/] }); // at its end
  await chooseFiles(page, wav("long-one.wav", 280), wav("other.wav"));
  await startQueue(page);
  await getCard(page, "long-one.wav").getByText("Preparing").waitFor();
  await getCard(page, "long-one.wav").getByRole("button", { name: "Cancel" }).click();
  const cancelled = page.waitForResponse(/\/cancel$/);
  passOn();
  await cancelled;
  const { data } = await (await ask(server, "v1/jobs")).json();
  const job = data.find(({ file_name: name }) => name === "long-one.wav");
  assert.equal(job.status, "cancelled");
  assert.equal(await getCard(page, "long-one.wav").getAttribute("data-state"), "cancelled");
});

test("a page that cannot keep a transcript says so before it sends the file", async (t) => {
  const { page } = await openPage(t, "plain", { allowed: [/ERR_FAILED/] });
  const posts = watchPosts(page, "/v1/audio/transcriptions");
  await page.route("**/keeping.js", (route) => route.abort());
  await chooseFiles(page, wav("a.wav"));
  await startQueue(page);
  await waitForState(page, "a.wav", "failed");
  assert.deepEqual(posts, []);
});

test("a file that was deleted since it was chosen is told as such, not as a server that is gone", async (t) => {
  const { page } = await openPage(t, "plain", { allowed: [/ERR_/] });
  const path = keep("deleted.wav", makeWav(2));
  await chooseFiles(page, path);
  await getCard(page, "deleted.wav").getByText("0:02").waitFor();
  rmSync(path);
  await startQueue(page);
  await getCard(page, "deleted.wav").getByText("The browser cannot read the file").waitFor();
});

test("without room the files that wait are held back as long as the server asks for", async (t) => {
  const { page } = await openPage(t, "plain", { allowed: [/status of 503/] });
  const posts = watchPosts(page, "/v1/audio/transcriptions");
  await answerFirst(page, "**/v1/audio/transcriptions", (route) =>
    route.fulfill({ status: 503, headers: { "retry-after": "2" }, json: REFUSED }),
  );
  await chooseFiles(page, wav("one.wav"), wav("two.wav"));
  await startQueue(page);
  await waitForState(page, "two.wav", "done");
  assert.equal(posts.length, 2);
  assert.ok(posts[1] - posts[0] >= 1900, `${posts[1] - posts[0]} ms`);
});

test("a file that is to be sent again later is, also while another view is shown", async (t) => {
  const { page } = await openPage(t, "plain", { allowed: [/status of 503/] });
  const posts = watchPosts(page, "/v1/audio/transcriptions");
  await answerFirst(page, "**/v1/audio/transcriptions", (route) =>
    route.fulfill({ status: 503, headers: { "retry-after": "2" }, json: REFUSED }),
  );
  await chooseFiles(page, wav("a.wav"));
  await startQueue(page);
  await getCard(page, "a.wav").getByRole("button", { name: /^Retry in/ }).click();
  await showView(page, "history");
  await page.locator(".history-row").filter({ hasText: "a.wav" }).waitFor();
  assert.equal(posts.length, 2);
});

test("a long file that is started at once is a job: its length is waited for", async (t) => {
  const { page } = await openPage(t, "jobs");
  await page.evaluate(() => {
    const { prototype } = window.HTMLMediaElement;
    const { set } = Object.getOwnPropertyDescriptor(prototype, "src");
    Object.defineProperty(prototype, "src", {
      set(url) {
        setTimeout(() => set.call(this, url), 1000);
      },
    });
  });
  const sent = page.waitForRequest((request) => request.method() === "POST");
  await chooseFiles(page, wav("long.wav", 610));
  await startQueue(page);
  assert.match((await sent).url(), /\/v1\/jobs$/);
  await getCard(page, "long.wav").getByRole("button", { name: "Cancel" }).click();
});

test("a microphone that is allowed after the recorder was closed is closed again", async (t) => {
  const { page } = await openPage(t, "plain");
  await page.evaluate(() => {
    const { mediaDevices } = navigator;
    const ask = mediaDevices.getUserMedia.bind(mediaDevices);
    mediaDevices.getUserMedia = async (wanted) => {
      await new Promise((resolve) => (window.allow = resolve));
      return (window.microphone = await ask(wanted));
    };
  });
  await page.getByRole("button", { name: "Record", exact: true }).click();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.evaluate(() => window.allow());
  await page.waitForFunction(() => window.microphone?.getTracks().every((track) => track.readyState === "ended"));
});

test("a recording goes on when a file that was sent before is done, and closing the page warns of it", async (t) => {
  const { page } = await openPage(t, "plain");
  await chooseFiles(page, wav("a.wav"));
  await startQueue(page);
  await page.getByRole("button", { name: "Record", exact: true }).click();
  await waitForState(page, "a.wav", "done");
  await page.getByRole("timer").getByText("0:01").waitFor();
  const isHeld = () =>
    page.evaluate(() => !window.dispatchEvent(new Event("beforeunload", { cancelable: true })));
  assert.equal(await isHeld(), true);
  await page.getByRole("button", { name: "Stop and add" }).click();
  await getCard(page, "recording").waitFor();
  assert.equal(await isHeld(), true, "it has not been sent yet");
  await getCard(page, "recording").getByRole("button", { name: /^Remove/ }).click();
  assert.equal(await isHeld(), false);
});

test("the keyboard stays at the file whose button was pressed, and goes to the next when one is removed", async (t) => {
  const { page } = await openPage(t, "plain", { allowed: [/ERR_/] });
  let release = () => {};
  const held = new Promise((resolve) => (release = resolve));
  await page.route("**/v1/audio/transcriptions", async (route) => (await held, route.abort()));
  const focused = () => page.evaluate(() => document.activeElement.textContent);
  await chooseFiles(page, wav("one.wav"), wav("two.wav"));
  await page.getByRole("button", { name: "Transcribe 2 files" }).press("Enter");
  assert.equal(await focused(), "Files");
  await getCard(page, "one.wav").getByRole("button", { name: "Cancel" }).press("Enter");
  assert.match(await focused(), /one\.wav/);
  await getCard(page, "one.wav").getByRole("button", { name: "Try again" }).press("Enter");
  assert.match(await focused(), /one\.wav/);
  await getCard(page, "one.wav").getByRole("button", { name: "Cancel" }).press("Enter");
  await getCard(page, "one.wav").getByRole("button", { name: "Remove" }).press("Enter");
  assert.match(await focused(), /two\.wav/);
  release();
});
