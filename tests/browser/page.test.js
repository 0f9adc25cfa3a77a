// The page by itself: it opens, from this server alone, and breaks none of its own rules.
import assert from "node:assert/strict";
import test from "node:test";
import { openPage, takePicture } from "./harness/browser.js";
import { ask, serve } from "./harness/servers.js";

test("the page opens without an error, and asks no other host", async (t) => {
  const { page } = await openPage(t, "jobs");
  await page.waitForFunction(() => document.body.innerText.trim().length > 0);
  await takePicture(page, "page");
});

test("the page's policy names no other host and allows no inline script", async () => {
  const response = await ask(await serve("jobs"), "");
  const policy = response.headers.get("content-security-policy");
  assert.match(policy, /^default-src 'none'/);
  assert.doesNotMatch(policy, /http|unsafe|\*/);
});
