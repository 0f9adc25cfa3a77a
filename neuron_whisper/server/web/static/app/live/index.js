// Live captions: what the microphone hears, as text.
export { LiveView } from "./LiveView.js";
