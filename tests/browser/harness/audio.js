// Recordings for tests: real speech of ../shared/speech where it is, and WAV files of it, repeated to any length.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, SPEECH } from "./servers.js";

const MADE = join(ROOT, "build/browser");
export const NO_SPEECH = existsSync(SPEECH) ? false : "without ../shared/speech nothing is proved about real speech";

/** Path of a recording of ../shared/speech. @param {string} name */
export const speech = (name) => join(SPEECH, name);

/**
 * Samples of a 16-bit mono WAV file and their rate.
 * @param {string} file
 * @returns {{rate: number, samples: Buffer}}
 */
function readWav(file) {
  const bytes = readFileSync(file);
  let at = 12;
  let rate = 0;
  while (at < bytes.length) {
    const [id, size] = [bytes.toString("latin1", at, at + 4), bytes.readUInt32LE(at + 4)];
    if (id === "fmt ") rate = bytes.readUInt32LE(at + 12);
    if (id === "data") return { rate, samples: bytes.subarray(at + 8, at + 8 + size) };
    at += 8 + size + (size % 2);
  }
  throw new Error(`${file} has no samples`);
}

/** @param {Buffer} samples 16-bit mono @param {number} rate */
export function toWav(samples, rate) {
  const head = Buffer.alloc(44);
  head.write("RIFF", 0, "latin1");
  head.writeUInt32LE(36 + samples.length, 4);
  head.write("WAVEfmt ", 8, "latin1");
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(rate * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write("data", 36, "latin1");
  head.writeUInt32LE(samples.length, 40);
  return Buffer.concat([head, samples]);
}

const silence = (seconds, rate) => Buffer.alloc(2 * Math.round(seconds * rate));

/**
 * A WAV file of these recordings, one after another with a pause between, over and over until it is `seconds` long.
 * @param {string} name of the file
 * @param {string[]} clips WAV files of ../shared/speech with one sample rate
 * @param {{seconds?: number, pause?: number, before?: number, after?: number}} [options] in seconds
 */
export function makeRecording(name, clips, { seconds = 0, pause = 0.5, before = 0, after = 0 } = {}) {
  const read = clips.map((clip) => readWav(speech(clip)));
  const { rate } = read[0];
  const round = read.flatMap(({ samples }) => [samples, silence(pause, rate)]);
  const parts = [silence(before, rate)];
  do parts.push(...round);
  while (parts.reduce((sum, part) => sum + part.length, 0) < 2 * rate * seconds);
  parts.push(silence(after, rate));
  return keep(name, toWav(Buffer.concat(parts), rate));
}

/** A file below build/browser. @param {string} name @param {Buffer | string} content @returns {string} its path */
export function keep(name, content) {
  mkdirSync(MADE, { recursive: true });
  const file = join(MADE, name);
  writeFileSync(file, content);
  return file;
}

/** Words without marks and capitals, to compare what was heard. @param {string} text */
export const wordsOf = (text) =>
  text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}' ]+/gu, " ")
    .split(/\s+/)
    .filter(Boolean);
