// Behind keys and below a prefix: the page asks for what it needs, and finds its own server.
import assert from "node:assert/strict";
import test from "node:test";
import { openPage, takePicture } from "./harness/browser.js";
import { KEYS, serve } from "./harness/servers.js";
import { showView, VIEWS } from "./harness/views.js";

const UNAUTHORIZED = [/status of 401/];

test("a key is asked for when the server wants one; a wrong one is told, a right one opens the page", async (t) => {
  const { page } = await openPage(t, "keys", { allowed: UNAUTHORIZED });
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  await takePicture(page, "key");
  await dialog.getByLabel("API key").fill("not-a-key");
  await dialog.getByRole("button", { name: "Use the key" }).click();
  await dialog.getByText("does not know this key").waitFor();
  assert.equal(await dialog.getByLabel("API key").getAttribute("aria-invalid"), "true");
  await dialog.getByLabel("API key").fill(KEYS.user);
  await dialog.getByRole("button", { name: "Use the key" }).click();
  await dialog.waitFor({ state: "detached" });
});

test("a key is forgotten with its tab, unless the reader wants it remembered", async (t) => {
  const { page, context, server } = await openPage(t, "keys", { allowed: UNAUTHORIZED });
  await enterKey(page, KEYS.user, false);
  const kept = (other) => other.evaluate(() => [localStorage, sessionStorage].map((store) => JSON.stringify(store)));
  const [lasting, passing] = await kept(page);
  assert.ok(!lasting.includes(KEYS.user) && passing.includes(KEYS.user));
  await page.evaluate(() => sessionStorage.clear());
  await page.reload();
  await enterKey(page, KEYS.user, true);
  const later = await context.newPage();
  await later.goto(server.url);
  await later.getByRole("button", { name: "Change the API key" }).waitFor();
  assert.equal(await later.getByRole("dialog").count(), 0);
});

test("the key of a user does not show what admins see; an admin's does", async (t) => {
  const { page } = await openPage(t, "keys", { allowed: [...UNAUTHORIZED, /status of 403/] });
  await enterKey(page, KEYS.user, false);
  const health = page.getByRole("link", { name: "Health" });
  await health.waitFor({ state: "detached" });
  await page.evaluate(() => sessionStorage.clear());
  await page.reload();
  await enterKey(page, KEYS.admin, false);
  await health.waitFor();
  await health.click();
  await page.getByText("tiny.en").first().waitFor();
});

async function enterKey(page, key, keeps) {
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  await dialog.getByLabel("API key").fill(key);
  if (keeps) await dialog.getByLabel("Remember it on this device").check();
  await dialog.getByRole("button", { name: "Use the key" }).click();
  await dialog.waitFor({ state: "detached" });
}

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
