// Files that are dropped or pasted anywhere on the page, whichever view is open: they come into the queue.
import { goTo, route } from "../router.js";
import { createStore } from "../state.js";
import { addFiles } from "./store.js";

export const drops = createStore({ isOver: false });

/** Listens from now on. Without it a browser would leave the page for a file that is dropped. */
export function watchDrops() {
  let depth = 0; // of the elements that the pointer is within
  const move = (/** @type {number} */ by) => {
    depth = Math.max(0, depth + by);
    drops.set({ isOver: depth > 0 });
  };
  document.addEventListener("dragenter", (event) => hasFiles(event) && move(1));
  document.addEventListener("dragleave", (event) => hasFiles(event) && move(-1));
  document.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    move(-depth);
    take(event.dataTransfer?.files);
  });
  document.addEventListener("paste", (event) => take(event.clipboardData?.files));
}

/** @param {DragEvent} event */
function hasFiles(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

/** @param {FileList | undefined} files */
function take(files) {
  if (!files?.length) return;
  addFiles(files);
  if (route.get().view !== "transcribe") goTo("transcribe");
}
