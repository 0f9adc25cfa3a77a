// Models and health, for those who run the server.
export { HealthView } from "./HealthView.js";
