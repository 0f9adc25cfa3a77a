// Ways to do in a page what several tests do: look at a view, put a transcript into the browser's store, choose files.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Views by the name in the address. */
export const VIEWS = ["transcribe", "live", "history", "health"];

/** Opens a view by its address and waits until it stands. */
export async function showView(page, name, id = "") {
  await page.evaluate((hash) => (location.hash = hash), id ? `#${name}/${id}` : `#${name}`);
  await settle(page);
}

/** Waits until nothing is being loaded: the view's module is there and has drawn itself. */
export async function settle(page) {
  await page.locator("main h1").first().waitFor({ state: "attached" });
  await page.waitForFunction(() => !document.querySelector("main .loading"));
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
}

/**
 * Adds files as a reader does by the file dialog.
 * @param {import("playwright-core").Page} page
 * @param {(string | {name: string, mimeType: string, buffer: Buffer})[]} files paths, or files themselves
 */
export async function chooseFiles(page, ...files) {
  await page.locator("input[type=file]").setInputFiles(files);
  const last = files.at(-1);
  await getCard(page, typeof last === "string" ? last.split("/").at(-1) : last.name).waitFor();
}

/** The queue's card of a file. */
export const getCard = (page, name) => page.locator(".queue-card").filter({ hasText: name });

/** Sends what was chosen. */
export const startQueue = (page) =>
  page
    .locator(".queue-head")
    .getByRole("button", { name: /^Transcribe/ })
    .click();

/** Waits until a file has this state: done, failed, cancelled, … */
export const waitForState = (page, name, state, timeout = 60_000) =>
  page.locator(`.queue-card[data-state=${state}]`).filter({ hasText: name }).waitFor({ timeout });

/** Transcribes one file, waits for its transcript's view, and gives its text. */
export async function transcribe(page, file) {
  await chooseFiles(page, file);
  await startQueue(page);
  await page.locator("article.transcript:not([aria-busy=true]) .transcript-tools").waitFor({ timeout: 60_000 });
  return readTranscript(page);
}

/** The text of the transcript that is shown. */
export const readTranscript = async (page) =>
  (await page.locator(".segment-text").allInnerTexts()).map((text) => text.trim()).join(" ");

/** What axe-core finds against WCAG 2.2 A and AA and its good practice, as sentences. */
export async function findBarriers(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() =>
    axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
  );
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target}: ${failureSummary}`),
  );
}

/** Pixels by which the page is wider than the window. */
export const getOverflow = (page) =>
  page.evaluate(() => document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth);

/** Keeps a sum of layout shifts from before the page's first paint on; read by `getLayoutShift`. */
export const watchLayout = (context) =>
  context.addInitScript(() => {
    window.shifts = [];
    const observer = new PerformanceObserver((list) => {
      for (const { value, hadRecentInput, sources } of list.getEntries()) {
        if (!hadRecentInput)
          window.shifts.push({
            value,
            what: sources
              .map(({ node }) => node?.className?.baseVal ?? node?.className ?? node?.textContent)
              .join("; "),
          });
      }
    });
    observer.observe({ type: "layout-shift", buffered: true });
  });

export const getLayoutShift = async (page) => {
  const shifts = await page.evaluate(() => window.shifts);
  return { sum: shifts.reduce((sum, { value }) => sum + value, 0), shifts };
};

/** Address of the page's modules, `…/static/<digest>/app/`. */
const getModules = (page) =>
  page.evaluate(() => document.querySelector("script[type=module]").src.replace(/main\.js$/, ""));

/**
 * Puts a transcript into the browser's store as the page does when a transcription ends.
 * @param {object} body a `verbose_json` response
 * @param {{fileName: string, id?: string, audioSeconds?: number, peaks?: object}} about
 *   `audioSeconds` of silence are its recording; without them it has none
 * @returns {Promise<string>} its id
 */
export async function storeTranscript(page, body, { fileName, id, audioSeconds, peaks }) {
  const modules = await getModules(page);
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const given = { modules, text, fileName, id, audioSeconds, peaks };
  return page.evaluate(
    async ({ modules: at, text: response, fileName: name, id: wanted, audioSeconds: seconds, peaks: loud }) => {
      const { fromResponse } = await import(`${at}transcript/model.js`);
      const { saveAudio, saveDocument } = await import(`${at}storage/index.js`);
      const document = fromResponse(response, { fileName: name, ...(wanted ? { id: wanted } : {}) });
      await saveDocument(document, { peaks: loud });
      if (!seconds) return document.id;
      const silence = new Uint8Array(44 + 8000 * seconds).fill(128, 44); // WAV, 8 kHz, 8 bits
      const view = new DataView(silence.buffer);
      for (const [place, letters] of [
        [0, "RIFF"],
        [8, "WAVEfmt "],
        [36, "data"],
      ]) {
        silence.set(
          [...letters].map((letter) => letter.charCodeAt(0)),
          place,
        );
      }
      for (const [place, value] of [
        [4, 36 + 8000 * seconds],
        [16, 16],
        [24, 8000],
        [28, 8000],
        [40, 8000 * seconds],
      ]) {
        view.setUint32(place, value, true);
      }
      for (const [place, value] of [
        [20, 1],
        [22, 1],
        [32, 1],
        [34, 8],
      ])
        view.setUint16(place, value, true);
      await saveAudio(document.id, new Blob([silence], { type: "audio/wav" }));
      return document.id;
    },
    given,
  );
}
