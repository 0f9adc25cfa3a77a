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
  await page.waitForLoadState("networkidle");
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
}

/** What axe-core finds against WCAG 2.2 A and AA and its good practice, as sentences. */
export async function findBarriers(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() =>
    axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
  );
  return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id}: ${target}: ${failureSummary}`));
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
        if (!hadRecentInput) window.shifts.push({ value, what: sources.map(({ node }) => node?.className ?? "").join() });
      }
    });
    observer.observe({ type: "layout-shift", buffered: true });
  });

export const getLayoutShift = async (page) => {
  const shifts = await page.evaluate(() => window.shifts);
  return { sum: shifts.reduce((sum, { value }) => sum + value, 0), shifts };
};

/** Address of the page's modules, `…/static/<digest>/app/`. */
const getModules = (page) => page.evaluate(() => document.querySelector("script[type=module]").src.replace(/main\.js$/, ""));

/**
 * Puts a transcript into the browser's store as the page does when a transcription ends.
 * @param {object} body a `verbose_json` response
 * @param {{fileName: string, id?: string, audio?: {bytes: number[], type: string}, peaks?: object}} about
 * @returns {Promise<string>} its id
 */
export async function storeTranscript(page, body, { fileName, id, audio, peaks }) {
  const modules = await getModules(page);
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const given = { modules, text, fileName, id, audio, peaks };
  return page.evaluate(async ({ modules: at, text: response, fileName: name, id: wanted, audio: sound, peaks: loud }) => {
    const { fromResponse } = await import(`${at}transcript/model.js`);
    const { saveAudio, saveDocument } = await import(`${at}storage/index.js`);
    const document = fromResponse(response, { fileName: name, ...(wanted ? { id: wanted } : {}) });
    await saveDocument(document, { peaks: loud });
    if (sound) await saveAudio(document.id, new Blob([new Uint8Array(sound.bytes)], { type: sound.type }));
    return document.id;
  }, given);
}
