// The hook that lists the microphones, and again when one comes or goes or `renewal` changes.
import { useEffect, useState } from "../../vendor/htm-preact.js";
import { listDevices } from "./microphone.js";

/** @param {unknown} renewal such as the label of the open microphone: after a permission there are names to show */
export function useDevices(renewal) {
  const [devices, setDevices] = useState(/** @type {import("./microphone.js").Device[]} */ ([]));
  useEffect(() => {
    let isShown = true;
    const list = async () => {
      const found = await listDevices().catch(() => []);
      if (isShown) setDevices(found);
    };
    list();
    navigator.mediaDevices?.addEventListener("devicechange", list);
    return () => {
      isShown = false;
      navigator.mediaDevices?.removeEventListener("devicechange", list);
    };
  }, [renewal]);
  return devices;
}
