// Real servers, started by the command line: tiny.en on the CPU from the usual cache, on free ports. Each kind of
// server is started once in a run and ends with it.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startProxy } from "./proxy.js";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
export const SPEECH = process.env.SPEECH ?? join(ROOT, "../shared/speech");
export const KEYS = { admin: "admin-key-of-the-tests", user: "user-key-of-the-tests", other: "another-users-key" };

const PYTHON = process.env.PYTHON ?? join(ROOT, ".venv/bin/python");
const LOGS = join(ROOT, "build/browser");
const START_S = 120; // of which compiling tiny.en takes most, once

/**
 * Flags of each kind of server, from a directory of its own.
 * @type {Record<string, (directory: string) => string[]>}
 */
const KINDS = {
  jobs: (directory) => ["--jobs-dir", join(directory, "jobs"), ...samples()],
  plain: () => [],
  keys: (directory) => ["--jobs-dir", join(directory, "jobs"), ...keys(directory)],
  prefix: (directory) => ["--root-path", "/stt", "--jobs-dir", join(directory, "jobs"), ...samples()],
  small: () => ["--max-upload", "1MB"],
};

const SETTINGS = readFileSync(join(ROOT, "neuron_whisper/server/config/settings.py"), "utf8");
const samples = () => (existsSync(SPEECH) && SETTINGS.includes("samples_dir") ? ["--samples-dir", SPEECH] : []);

/** Flags for a file of the keys above, in the form that `neuron-whisper keys` writes. */
function keys(directory) {
  const file = join(directory, "keys.json");
  const stored = Object.entries(KEYS).map(([id, key]) => ({
    id,
    sha256: createHash("sha256").update(key).digest("hex"),
    roles: id === "admin" ? ["user", "admin"] : ["user"],
  }));
  writeFileSync(file, JSON.stringify({ keys: stored }), { mode: 0o600 });
  return ["--keys-file", file, "--metrics-need-key", "--model-admin"];
}

/** @typedef {{url: string, api: string, log: string, process: import("node:child_process").ChildProcess}} Server */
/** @type {Map<string, Promise<Server & {proxy?: Awaited<ReturnType<typeof startProxy>>}>>} */
const running = new Map();

/**
 * The server of a kind; `url` is its page's, `api` the address that its routes lie below.
 * @param {keyof typeof KINDS} kind
 */
export function serve(kind) {
  if (!running.has(kind)) running.set(kind, start(kind));
  return running.get(kind);
}

async function start(kind) {
  const directory = mkdtempSync(join(tmpdir(), `neuron-whisper-${kind}-`));
  mkdirSync(LOGS, { recursive: true });
  const log = join(LOGS, `${kind}.log`);
  const output = openSync(log, "w");
  const flags = ["--model", "tiny.en", "--port", "0", ...KINDS[kind](directory)];
  const child = spawn(PYTHON, ["-m", "neuron_whisper", "serve", ...flags], {
    cwd: ROOT,
    env: { ...process.env, PYTHONPATH: ROOT },
    stdio: ["ignore", output, output],
  });
  process.once("exit", () => {
    child.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  });
  const address = await waitForAddress(child, log, kind);
  const server = { url: `${address}/`, api: `${address}/`, log, process: child };
  if (kind !== "prefix") return server;
  const proxy = await startProxy(address, "/stt");
  return { ...server, url: `${proxy.url}/`, api: `${proxy.url}/`, proxy };
}

async function waitForAddress(child, log, kind) {
  const end = Date.now() + START_S * 1000;
  while (Date.now() < end) {
    const said = readFileSync(log, "utf8");
    const [, address] = said.match(/(http:\/\/127\.0\.0\.1:\d+)/) ?? [];
    if (address && (await isReady(address))) return address;
    if (child.exitCode !== null) throw new Error(`the server (${kind}) ended with ${child.exitCode}:\n${said}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the server (${kind}) did not start within ${START_S} s:\n${readFileSync(log, "utf8")}`);
}

const isReady = (address) =>
  fetch(`${address}/health/ready`).then(
    (response) => response.ok,
    () => false,
  );

/** Asks a server's API as a program would. @param {Server} server */
export const ask = (server, path, init) => fetch(new URL(path, server.api), init);

/** Ends every server of this run by SIGTERM. */
export async function stopServers() {
  for (const starting of running.values()) {
    const server = await starting.catch(() => undefined);
    server?.proxy?.stop();
    if (server?.process.exitCode === null) {
      server.process.kill("SIGTERM");
      await new Promise((resolve) => server.process.once("exit", resolve));
    }
  }
  running.clear();
}
