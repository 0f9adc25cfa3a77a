// An open transcript, and what tests do with it.
import { openPage } from "./browser.js";
import { makePeaks, makeTranscript } from "./transcripts.js";
import { showView, storeTranscript } from "./views.js";

/** A page that shows a made-up transcript of a minute, with its recording. */
export async function openTranscript(t, { minutes = 1, speakers = 0, ...body } = {}, about = {}) {
  const opened = await openPage(t, "plain");
  const made = { ...makeTranscript({ minutes, speakers }), ...body };
  const given = { fileName: "talk.wav", audioSeconds: 60 * minutes, peaks: makePeaks(60 * minutes), ...about };
  const id = await storeTranscript(opened.page, made, given);
  await showView(opened.page, "transcript", id);
  await opened.page.locator(".segment").first().waitFor();
  return { ...opened, id, body: made };
}

export const segment = (page, index) => page.locator(`#segment-${index}`);
export const position = (page) => page.getByRole("slider", { name: "Position" });
export const readTime = async (page) => Number(await position(page).inputValue());
export const waitUntilSaved = (page) => page.locator(".keeping-state[data-saving=saved]").waitFor();

/** Types in place of a segment's text, as a reader does. */
export async function edit(page, index, text) {
  await segment(page, index).getByRole("button", { name: /^Edit/ }).click();
  const field = segment(page, index).getByRole("textbox");
  await field.fill(text);
  await field.press("Enter");
}
