// JSON kept as text: members and elements as slices, so that what is not changed is written byte for byte as it came.

/** Members whose numbers are Python floats: written with a point even when whole. */
const FLOATS = new Set([
  ...["start", "end", "duration", "probability"],
  ...["temperature", "avg_logprob", "compression_ratio", "no_speech_prob"],
]);

/**
 * The members of an object, each value as the text it has. `{"a": [1.0]}` -> [["a", "[1.0]"]]
 * @param {string} text valid JSON
 * @returns {[string, string][]}
 */
export function membersOf(text) {
  return slicesOf(text).map((slice) => {
    const key = endOfString(slice, slice.indexOf('"'));
    const colon = slice.indexOf(":", key);
    return [/** @type {string} */ (JSON.parse(slice.slice(0, key))), slice.slice(colon + 1).trim()];
  });
}

/** The elements of an array, each as the text it has. @param {string} text valid JSON */
export function elementsOf(text) {
  return slicesOf(text);
}

/** What stands between the commas of an object or an array. @param {string} text */
function slicesOf(text) {
  const slices = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const letter = text.charCodeAt(at);
    if (letter === 0x22) {
      at = endOfString(text, at) - 1;
    } else if (letter === 0x7b || letter === 0x5b) {
      if (depth++ === 0) start = at + 1;
    } else if (letter === 0x7d || letter === 0x5d) {
      if (--depth === 0) {
        const last = text.slice(start, at).trim();
        if (last) slices.push(last);
        return slices;
      }
    } else if (letter === 0x2c && depth === 1) {
      slices.push(text.slice(start, at).trim());
      start = at + 1;
    }
  }
  throw new SyntaxError("JSON: an object or array does not end");
}

/** Index behind the string that begins at `from`. @param {string} text @param {number} from */
function endOfString(text, from) {
  for (let at = text.indexOf('"', from + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let escapes = 0;
    while (text.charCodeAt(at - 1 - escapes) === 0x5c) escapes++;
    if (escapes % 2 === 0) return at + 1;
  }
  throw new SyntaxError("JSON: a string does not end");
}

/** @param {[string, string][]} members values are JSON text */
export function writeMembers(members) {
  return `{${members.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(",")}}`;
}

/** @param {string[]} elements JSON text */
export function writeElements(elements) {
  return `[${elements.join(",")}]`;
}

/**
 * A float as the server writes it: 5 -> "5.0", 0.0000012 -> "1.2e-6".
 * @param {number} value finite
 */
export function writeFloat(value) {
  if (Object.is(value, -0)) return "-0.0";
  const [digits, exponent] = value.toExponential().split("e");
  const power = Number(exponent);
  if (value !== 0 && (power < -5 || power >= 16)) return `${digits}e${power}`;
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

/**
 * The value as the server would write it: known float members with a point, no white space.
 * @param {unknown} value
 * @param {string} [key] the member it is the value of
 * @returns {string}
 */
export function writeJson(value, key = "") {
  if (typeof value === "number" && FLOATS.has(key)) return writeFloat(value);
  if (Array.isArray(value)) return writeElements(value.map((element) => writeJson(element)));
  if (value !== null && typeof value === "object") {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    return writeMembers(members.map(([name, member]) => [name, writeJson(member, name)]));
  }
  return JSON.stringify(value);
}
