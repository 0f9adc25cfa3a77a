// Behind keys and below a prefix: the page asks for what it needs, and finds its own server.
import assert from "node:assert/strict";
import test from "node:test";
import { NO_SPEECH, speech } from "./harness/audio.js";
import { openPage, takePicture } from "./harness/browser.js";
import { KEYS, serve } from "./harness/servers.js";
import { chooseFiles, showView, startQueue, VIEWS } from "./harness/views.js";

const REFUSALS = [/status of 40[13]/]; // of keys that are missing, wrong or a user's

const dialogOf = (page) => page.getByRole("dialog");

async function enterKey(page, key, { keeps = false } = {}) {
  if (!(await dialogOf(page).count())) await page.getByRole("button", { name: "Enter the API key" }).click();
  await dialogOf(page).locator("#api-key").fill(key);
  if (keeps) await dialogOf(page).getByLabel("Remember it on this device").check();
  await dialogOf(page).getByRole("button", { name: "Use the key" }).click();
}

test(
  "a key is asked for when one is wanted, a wrong one is told, and with a right one the file goes on",
  { skip: NO_SPEECH },
  async (t) => {
    const { page } = await openPage(t, "keys", { allowed: REFUSALS });
    await chooseFiles(page, speech("en_LJ001-0002.wav"));
    await startQueue(page);
    await dialogOf(page).getByText("This server requires an API key.").waitFor();
    await takePicture(page, "key");
    await enterKey(page, "not-a-key");
    await dialogOf(page).getByText("does not accept this key").waitFor();
    assert.equal(await dialogOf(page).locator("#api-key").getAttribute("aria-invalid"), "true");
    await enterKey(page, KEYS.user);
    await dialogOf(page).waitFor({ state: "detached" });
    await page.locator(".segment").first().waitFor({ timeout: 60_000 });
  },
);

test("a key is forgotten with its tab, unless the reader wants it remembered", async (t) => {
  const { page, context, server } = await openPage(t, "keys", { allowed: REFUSALS });
  await enterKey(page, KEYS.user);
  await dialogOf(page).waitFor({ state: "detached" });
  const [lasting, passing] = await page.evaluate(() =>
    [localStorage, sessionStorage].map((store) => JSON.stringify(store)),
  );
  assert.ok(!lasting.includes(KEYS.user) && passing.includes(KEYS.user));
  await page.evaluate(() => sessionStorage.clear());
  await page.reload();
  await enterKey(page, KEYS.user, { keeps: true });
  await dialogOf(page).waitFor({ state: "detached" });
  const later = await context.newPage();
  await later.goto(server.url);
  await later.getByRole("button", { name: "Change the API key" }).waitFor();
});

test("the health of the server is shown with an admin's key, not with a user's", async (t) => {
  const { page } = await openPage(t, "keys", { allowed: REFUSALS });
  const tab = page.getByRole("link", { name: "Health" });
  await enterKey(page, KEYS.user);
  await dialogOf(page).waitFor({ state: "detached" });
  await tab.waitFor({ state: "detached" });
  await page.evaluate(() => void (location.hash = "#health")); // the address is known to anybody
  const models = page.locator(".health-models").filter({ hasText: "tiny.en" });
  const unload = page.getByRole("button", { name: /Unload/ });
  await models.waitFor();
  assert.equal(await unload.count(), 0);
  await page.evaluate(() => sessionStorage.clear());
  await page.reload();
  await enterKey(page, KEYS.admin);
  await tab.click();
  await page.getByRole("heading", { name: "The last five minutes" }).waitFor();
  await models.waitFor();
  assert.equal(await unload.count(), 1);
});

test("below a prefix every file of the page and every request lies below it", async (t) => {
  const { page, server } = await openPage(t, "prefix");
  const outside = [];
  const prefix = new URL(server.url).pathname;
  assert.equal(prefix, "/stt/");
  page.on("request", (request) => {
    const { pathname, protocol } = new URL(request.url());
    if (protocol.startsWith("http") && !pathname.startsWith(prefix)) outside.push(pathname);
  });
  await page.reload();
  for (const name of VIEWS) await showView(page, name);
  assert.deepEqual(outside, []);
});

test("what the page is made of comes from this server: vendored modules too", async (t) => {
  const { page, server } = await openPage(t, "jobs");
  const loaded = [];
  page.on("response", (response) => loaded.push([response.url(), response.status(), response.headers()]));
  await page.reload();
  await showView(page, "transcript", "none");
  const modules = loaded.filter(([url]) => /\/static\//.test(url));
  assert.ok(modules.some(([url]) => url.endsWith("/vendor/htm-preact.js")));
  for (const [url, status, headers] of modules) {
    assert.ok(url.startsWith(server.url), url);
    assert.equal(status, 200, url);
    assert.match(headers["cache-control"], /immutable/);
  }
});

test("of two tabs with the same server, both stand", async (t) => {
  const { context, page } = await openPage(t, "plain");
  const other = await context.newPage();
  await other.goto((await serve("plain")).url);
  for (const each of [page, other]) await each.getByRole("link", { name: "Transcribe" }).waitFor();
});
