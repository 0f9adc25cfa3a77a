// Records from a microphone: device, level, time; what was recorded becomes a file of the queue.
import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { t } from "../i18n.js";
import { Button } from "../ui/Button.js";
import { SelectField } from "../ui/Field.js";
import { Icon } from "../ui/icons.js";
import { announce } from "../ui/toasts.js";
import { formatClock } from "../ui/figures.js";
import { canRecord, listMicrophones, startRecording } from "./recording.js";
import { addFiles } from "./store.js";

/** @typedef {import("./recording.js").Recording} Recording */

const WORTH_KEEPING_S = 5; // when another microphone is chosen

/** @param {{onClose: () => void}} props */
export function Recorder({ onClose }) {
  const section = useRef(/** @type {HTMLElement | null} */ (null));
  const tries = useRef(0); // a microphone that is allowed after the reader has left is closed again
  const recording = useRef(/** @type {Recording | null} */ (null));
  const [isOn, setOn] = useState(false);
  const [problem, setProblem] = useState(canRecord() ? "" : t("transcribe.recordInsecure"));
  const [devices, setDevices] = useState(/** @type {MediaDeviceInfo[]} */ ([]));
  const [deviceId, setDeviceId] = useState("");

  const start = async (/** @type {string} */ wanted) => {
    setProblem("");
    const own = (tries.current += 1);
    try {
      const started = await startRecording(wanted);
      if (own !== tries.current) return started.discard();
      recording.current = started;
      setDeviceId(started.deviceId);
      setOn(true);
      announce(t("transcribe.recording"));
      setDevices(await listMicrophones());
    } catch (/** @type {any} */ error) {
      setProblem(describe(error));
    }
  };
  const finish = async () => {
    tries.current += 1;
    const current = recording.current;
    recording.current = null;
    if (!current) return;
    const { file, seconds } = await current.stop();
    if (file.size > 0) await addFiles([file], { duration: seconds, isRecorded: true });
  };
  const discard = () => {
    tries.current += 1;
    recording.current?.discard();
    recording.current = null;
  };
  const change = async (/** @type {string} */ wanted) => {
    if ((recording.current?.getSeconds() ?? 0) >= WORTH_KEEPING_S) await finish();
    else discard();
    setOn(false);
    start(wanted);
  };
  useEffect(() => {
    section.current?.focus(); // the button that was pressed is gone
    if (canRecord()) start("");
    return () => void finish(); // another view was opened: what was said is not lost
  }, []);

  return html`<section class="drop recorder" ref=${section} tabindex="-1" aria-label=${t("transcribe.record")}>
    ${
      problem
        ? html`<div class="note bad" role="alert"><${Icon} name="alert" /><span>${problem}</span></div>`
        : html`<${Meter} recording=${recording} isOn=${isOn} />`
    }
    ${
      devices.length > 1 &&
      html`<div class="recorder-device"><${SelectField} id="record-device" label=${t("transcribe.microphone")} value=${deviceId}
      options=${devices.map((device) => ({ value: device.deviceId, label: device.label || t("transcribe.microphone") }))}
      onChange=${change} /></div>`
    }
    <div class="row wrap drop-buttons">
      ${
        isOn &&
        html`<${Button} kind="primary" icon="check" onClick=${async () => {
          await finish();
          onClose();
        }}>${t("transcribe.recordDone")}<//>`
      }
      ${problem && canRecord() && html`<${Button} icon="retry" onClick=${() => start(deviceId)}>${t("page.retry")}<//>`}
      <${Button} onClick=${() => {
        discard();
        onClose();
      }}>${isOn ? t("transcribe.recordDiscard") : t("page.cancel")}<//>
    </div>
  </section>`;
}

/** @param {{recording: {current: Recording | null}, isOn: boolean}} props */
function Meter({ recording, isOn }) {
  const bar = useRef(/** @type {HTMLElement | null} */ (null));
  const clock = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (!isOn) return undefined;
    let frame = 0;
    const draw = () => {
      const current = recording.current;
      if (current && bar.current && clock.current) {
        bar.current.style.transform = `scaleX(${current.getLevel().toFixed(3)})`;
        const text = formatClock(current.getSeconds());
        if (clock.current.textContent !== text) clock.current.textContent = text;
      }
      frame = requestAnimationFrame(draw);
    };
    draw();
    return () => cancelAnimationFrame(frame);
  }, [isOn]);
  return html`<div class="recorder-meter">
    <p class="row recorder-state"><span class=${`dot${isOn ? " on" : ""}`}></span>${isOn ? t("transcribe.recording") : t("transcribe.recordWaiting")}</p>
    <p class="recorder-clock num" ref=${clock} role="timer" aria-label=${t("transcribe.recordLength")}>0:00</p>
    <div class="bar level" aria-hidden="true"><span ref=${bar}></span></div>
  </div>`;
}

/** @param {{name?: string, message?: string}} error of getUserMedia */
function describe({ name, message }) {
  if (name === "NotAllowedError") return t("transcribe.recordDenied");
  if (name === "NotFoundError" || name === "OverconstrainedError") return t("transcribe.recordNoDevice");
  return t("transcribe.recordFailed", { reason: message ?? "" });
}
