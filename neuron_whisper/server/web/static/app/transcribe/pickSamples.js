// Which of the server's samples are offered, and what they are called. Pure.

/** @typedef {{name: string, url: string}} Sample */

/**
 * The code of a language before the name: "de_talk.ogg" -> ["de", "talk"], "talk.ogg" -> ["", "talk"].
 * @param {string} name
 */
export function splitName(name) {
  const bare = name.replace(/\.[^.]+$/, "");
  const [, code = "", rest = bare] = /^([a-z]{2})[_-](.+)$/.exec(bare) ?? [];
  return [code, rest];
}

/**
 * At most so many samples: one of each language first, in the order they are listed.
 * @param {Sample[]} samples
 * @param {number} most
 */
export function pickSamples(samples, most) {
  const codes = samples.map(({ name }) => splitName(name)[0]);
  const isFirst = (/** @type {Sample} */ _, /** @type {number} */ at) => codes.indexOf(codes[at]) === at;
  const firsts = samples.filter(isFirst);
  const others = samples.filter((sample) => !firsts.includes(sample));
  const picked = new Set([...firsts, ...others].slice(0, most));
  return samples.filter((sample) => picked.has(sample));
}
