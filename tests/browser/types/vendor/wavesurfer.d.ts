// Types of static/vendor/wavesurfer.js.
export { default } from "wavesurfer.js";
export * from "wavesurfer.js";
