// The page's icons: 24 by 24 strokes in the colour of the text beside them, hidden from screen readers.
import { html } from "../../vendor/htm-preact.js";

/** @type {Record<string, string>} */
const PATHS = {
  logo: "M4 10v4M8 6v12M12 9v6M16 4v16M20 10v4",
  upload: "M12 16V4M7 9l5-5 5 5M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3",
  mic: "M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM5 11a7 7 0 0 0 14 0M12 18v3",
  stop: "M7 7h10v10H7Z",
  pause: "M8 5v14M16 5v14",
  play: "M8 5l11 7-11 7Z",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 12.5l4.5 4.5L19 7.5",
  alert: "M12 4l9 16H3ZM12 10v4M12 17v.01",
  info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 11v5M12 8v.01",
  retry: "M4 12a8 8 0 1 0 2.5-5.8M4 4v4.5h4.5",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  key: "M14.5 9.5a4.5 4.5 0 1 0-3.2 4.3L13 15.5h2v2h2v2h3v-3.5l-6-6ZM8.5 9v.01",
  sun:
    "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM12 2v2M12 20v2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M2 12h2M20 12h2" +
    "M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5Z",
  screen: "M4 5h16v11H4ZM9 20h6M12 16v4",
  file: "M6 3h8l4 4v14H6ZM14 3v4h4M9 13v2M12 11v6M15 13v2",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM16 16l4.5 4.5",
  download: "M12 4v12M7 11l5 5 5-5M4 20h16",
  copy: "M9 9h11v11H9ZM5 15H4V4h11v1",
  clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 7v5l3.5 2",
  plus: "M12 5v14M5 12h14",
  undo: "M8 5L4 9l4 4M4 9h10a5 5 0 0 1 0 10h-4",
  redo: "M16 5l4 4-4 4M20 9H10a5 5 0 0 0 0 10h4",
  edit: "M4 20l1-4L16.5 4.5l3 3L8 19ZM14.5 6.5l3 3",
  up: "M6 15l6-6 6 6",
  down: "M6 9l6 6 6-6",
  offline:
    "M3 3l18 18M8.5 15.5a5 5 0 0 1 5.5-1.1M5 12a10 10 0 0 1 4-2.4M2 8.5a15 15 0 0 1 4.5-2.8" +
    "M19 12a10 10 0 0 0-5-2.8M22 8.5A15 15 0 0 0 11 5M12 19v.01",
};

/** @param {{name: string, size?: number}} props */
export function Icon({ name, size = 20 }) {
  return html`<svg
    width=${`${size / 16}rem`} height=${`${size / 16}rem`} viewBox="0 0 24 24" fill="none" stroke="currentColor"
    stroke-width="1.9" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">
    <path d=${PATHS[name]} />
  </svg>`;
}
