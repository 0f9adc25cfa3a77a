// Debian's Chromium, a page of it for each test, and what no page may do: log an error, break its policy, call out.
import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { after } from "node:test";
import { chromium } from "playwright-core";
import { ROOT, serve, stopServers } from "./servers.js";

const SCREENSHOTS = join(ROOT, "build/screenshots");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const ARGS = ["--no-sandbox", "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required"];

/** @type {Promise<import("playwright-core").Browser> | undefined} */
let shared;
/** Chromium of the tests that need no flags of their own. */
const getBrowser = () => (shared ??= launch());

/** @param {string} [microphone] a WAV that is played, again and again, as the microphone */
export function launch(microphone) {
  const capture = microphone ? [`--use-file-for-fake-audio-capture=${microphone}`] : [];
  const fake = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", ...capture];
  return chromium.launch({ executablePath: CHROMIUM, args: [...ARGS, ...fake] });
}

after(async () => {
  await (await shared)?.close();
  await stopServers();
});

/**
 * A server's page in a browser that knows nothing yet; it is closed after the test, and what it did wrong fails it.
 * @param {import("node:test").TestContext} t
 * @param {string} kind of server, see servers.js
 * @param {object} [options]
 * @param {string} [options.hash] the view, such as `#history`
 * @param {string} [options.url] another address than the server's own
 * @param {RegExp[]} [options.allowed] messages of the console that this test brings about
 * @param {import("playwright-core").Browser} [options.browser]
 * @param {import("playwright-core").BrowserContextOptions} [options.context]
 */
export async function openPage(t, kind, { hash = "", url, allowed = [], browser, context: more = {} } = {}) {
  const server = await serve(kind);
  const context = await (browser ?? (await getBrowser())).newContext({
    locale: "en-US",
    viewport: { width: 1280, height: 800 },
    reducedMotion: "reduce",
    ...more,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const home = url ?? server.url;
  const faults = watch(page, new URL(home).origin, allowed);
  t.after(async () => {
    if (!t.passed) await takePicture(page, `failed-${t.name.replace(/\W+/g, "-").slice(0, 80)}`).catch(() => {});
    await context.close();
    assert.deepEqual(faults, [], "what the page did wrong");
  });
  await page.goto(home + hash, { waitUntil: "load" });
  return { page, server, context, faults };
}

/** Collects errors, breaches of the policy and requests to other origins, as sentences. */
function watch(page, origin, allowed) {
  /** @type {string[]} */
  const faults = [];
  const add = (text) => allowed.some((pattern) => pattern.test(text)) || faults.push(text);
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) add(`console: ${message.text()} (${message.location().url})`);
  });
  page.on("pageerror", (error) => add(`error: ${error.stack}`));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (!["data:", "blob:"].includes(url.protocol) && url.origin !== origin) add(`request: ${url}`);
  });
  page.on("websocket", (socket) => {
    if (new URL(socket.url()).host !== new URL(origin).host) add(`socket: ${socket.url()}`);
  });
  return faults;
}

function pathOf(name) {
  if (!existsSync(SCREENSHOTS)) mkdirSync(SCREENSHOTS, { recursive: true });
  return join(SCREENSHOTS, `${name}.png`);
}

/** Keeps a picture of the page below build/screenshots. */
export const takePicture = (page, name, options = {}) => page.screenshot({ path: pathOf(name), ...options });
