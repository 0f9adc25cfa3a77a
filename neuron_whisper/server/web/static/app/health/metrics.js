// Prometheus' text format, as far as this server writes it.

const PREFIX = "neuron_whisper_";
const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/**
 * @typedef {{labels: Record<string, string>, value: number}} Sample
 * @typedef {Map<string, Sample[]>} Metrics by name; this server's own without their prefix
 */

/** @param {string} text @returns {Metrics} */
export function parseMetrics(text) {
  /** @type {Metrics} */
  const metrics = new Map();
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : SAMPLE.exec(line);
    if (!found) continue;
    const name = found[1].startsWith(PREFIX) ? found[1].slice(PREFIX.length) : found[1];
    const samples = metrics.get(name) ?? [];
    samples.push({ labels: parseLabels(found[2] ?? ""), value: parseValue(found[3]) });
    metrics.set(name, samples);
  }
  return metrics;
}

/**
 * The sum over the samples of a metric whose labels have these values; null where the server has no such metric.
 * @param {Metrics} metrics
 * @param {string} name
 * @param {Record<string, string>} [labels]
 */
export function sumOf(metrics, name, labels = {}) {
  const samples = metrics.get(name);
  if (!samples) return null;
  const wanted = Object.entries(labels);
  const chosen = samples.filter((sample) => wanted.every(([label, value]) => sample.labels[label] === value));
  return chosen.reduce((sum, sample) => sum + sample.value, 0);
}

/** @param {string} text @returns {Record<string, string>} */
function parseLabels(text) {
  const unescape = (/** @type {string} */ value) => value.replace(/\\(.)/g, (_, char) => (char === "n" ? "\n" : char));
  return Object.fromEntries([...text.matchAll(LABEL)].map(([, name, value]) => [name, unescape(value)]));
}

/** @param {string} text */
function parseValue(text) {
  if (text === "+Inf") return Infinity;
  return text === "-Inf" ? -Infinity : Number(text);
}
