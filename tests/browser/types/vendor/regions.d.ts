// Types of static/vendor/regions.js, wavesurfer's plugin.
export { default } from "wavesurfer.js/dist/plugins/regions.esm.js";
export * from "wavesurfer.js/dist/plugins/regions.esm.js";
