// One file by one request: segments as server-sent events, the whole body at the end.
import { t } from "../i18n.js";
import { ApiError } from "./errors.js";
import { listFields, toFormData } from "./form.js";
import { createSseParser } from "./sse.js";
import { sendForm } from "./upload.js";

/**
 * @typedef {object} Peaks largest samples of the audio, for its waveform
 * @property {number} peaks_per_second
 * @property {number[]} peaks 0 to 255
 */

/**
 * @param {File} file
 * @param {import("./form.js").Options} options
 * @param {object} handlers
 * @param {AbortSignal} handlers.signal
 * @param {boolean} handlers.wantsPeaks whether the server knows include[]=peaks
 * @param {(fraction: number) => void} handlers.onUpload
 * @param {(peaks: Peaks) => void} handlers.onPeaks
 * @param {(segment: any, words: any[]) => void} handlers.onSegment
 * @returns {Promise<string>} the text of the last event, which has the fields of verbose_json. Rejects with ApiError
 * or AbortError.
 */
export async function transcribeFile(file, options, { signal, wantsPeaks, onUpload, onPeaks, onSegment }) {
  const fields = listFields(options, { stream: true, peaks: wantsPeaks });
  let body = "";
  const onText = createSseParser((data) => {
    const event = JSON.parse(data);
    if (event.error) throw toStreamError(event.error);
    if (event.type === "transcript.peaks") onPeaks(event);
    else if (event.type === "transcript.text.delta" && event.segment) onSegment(event.segment, event.words ?? []);
    else if (event.type === "transcript.text.done") body = data;
  });
  /** @type {unknown} */
  let failure = null;
  const path = options.task === "translate" ? "v1/audio/translations" : "v1/audio/transcriptions";
  await sendForm(path, toFormData(fields, file), {
    signal,
    onUpload,
    onText: (piece) => {
      try {
        if (!failure) onText(piece);
      } catch (error) {
        failure = error;
      }
    },
  });
  if (failure) throw failure;
  if (!body) throw new ApiError(t("error.endedEarly"), { code: "ended_early" });
  return body;
}

/** An error that came as a stream's last event. @param {any} error */
function toStreamError(error) {
  return new ApiError(error.message, { code: error.code ?? "", param: error.param ?? "", status: 200 });
}
