// A page of another origin in Chromium transcribes a file and opens a realtime session, through CORS and a reverse
// proxy that serves the API below a path. node browser_origin.mjs URL CLIP PAGE_PORT PREFIX
//
// The server at URL allows the origin http://127.0.0.1:PAGE_PORT, and no other.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { chromium } from "playwright-core";

const [url, clip, pagePort, prefix] = process.argv.slice(2);
const upstream = new URL(url);

function listen(server, port = 0) {
  return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(server.address().port)));
}

// as nginx's `location /stt/ { proxy_pass http://server/; }`
function createProxy() {
  const proxy = createServer((incoming, answer) => {
    const { method, headers } = incoming;
    const path = incoming.url.startsWith(`${prefix}/`) ? incoming.url.slice(prefix.length) : undefined;
    if (path === undefined) return answer.writeHead(404).end();
    const onward = request({ host: upstream.hostname, port: upstream.port, method, path, headers }, (response) => {
      answer.writeHead(response.statusCode, response.headers);
      response.pipe(answer);
    });
    onward.on("error", () => answer.writeHead(502).end());
    incoming.pipe(onward);
  });
  proxy.on("upgrade", ({ url: path, rawHeaders }, socket, head) => {
    const onward = connect(upstream.port, upstream.hostname, () => {
      onward.write(`GET ${path.slice(prefix.length)} HTTP/1.1\r\n`);
      for (let i = 0; i < rawHeaders.length; i += 2) onward.write(`${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`);
      onward.write("\r\n");
      onward.write(head);
      socket.pipe(onward).pipe(socket);
    });
    onward.on("error", () => socket.destroy());
    socket.on("error", () => onward.destroy());
  });
  return proxy;
}

// --- in the page -----------------------------------------------------------------------------------

async function transcribeInPage(api) {
  const form = new FormData();
  form.append("file", await (await fetch("/clip")).blob(), "clip.wav");
  form.append("model", "whisper-1");
  const headers = { Authorization: "Bearer none", "X-Stainless-Lang": "js", "X-Made-Up-By-The-Page": "1" };
  const response = await fetch(`${api}/v1/audio/transcriptions`, { method: "POST", body: form, headers });
  return { status: response.status, requestId: response.headers.get("x-request-id"), ...(await response.json()) };
}

async function transcribeRealtimeInPage(api) {
  const rate = 24_000;
  const encoded = await (await fetch("/clip")).arrayBuffer();
  const { duration } = await new OfflineAudioContext(1, 1, rate).decodeAudioData(encoded.slice(0));
  const context = new OfflineAudioContext(1, Math.ceil(duration * rate), rate);
  const samples = (await context.decodeAudioData(encoded)).getChannelData(0);
  const pcm = Uint8Array.from(new Uint8Array(Int16Array.from(samples, (value) => 32_767 * value).buffer));
  const socket = new WebSocket(`${api.replace("http", "ws")}/v1/realtime?intent=transcription`, [
    "realtime",
    "openai-insecure-api-key.none",
  ]);
  const send = (event) => socket.send(JSON.stringify(event));
  return new Promise((resolve, reject) => {
    socket.onerror = () => reject(new Error("the socket failed"));
    socket.onclose = ({ code, reason }) => reject(new Error(`closed with ${code} ${reason}`));
    socket.onopen = () => {
      const transcription = { model: "whisper-1", language: "en" };
      const input = { format: { type: "audio/pcm", rate }, transcription, turn_detection: null };
      send({ type: "session.update", session: { type: "transcription", audio: { input } } });
      for (let at = 0; at < pcm.length; at += 9_600) {
        const piece = String.fromCharCode(...pcm.subarray(at, at + 9_600));
        send({ type: "input_audio_buffer.append", audio: btoa(piece) });
      }
      send({ type: "input_audio_buffer.commit" });
    };
    socket.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      if (event.type === "error") reject(new Error(JSON.stringify(event.error)));
      if (event.type === "conversation.item.input_audio_transcription.completed") resolve(event.transcript);
    };
  });
}

// --- the check -------------------------------------------------------------------------------------

// Chromium: of the machine where CHROMIUM names it, else the one of the npm package
async function launch() {
  if (process.env.CHROMIUM) return chromium.launch({ executablePath: process.env.CHROMIUM });
  const { default: packaged } = await import("@sparticuz/chromium");
  // without the package's own arguments, one of which turns the checks of origins off
  return chromium.launch({ executablePath: await packaged.executablePath(), args: ["--no-sandbox"] });
}

const page = (incoming, answer) => {
  const isClip = incoming.url === "/clip";
  answer.writeHead(200, { "Content-Type": isClip ? "audio/wav" : "text/html" });
  answer.end(isClip ? readFileSync(clip) : "<!doctype html><title>Another origin</title>");
};
const servers = [createProxy(), createServer(page), createServer(page)];
const [proxyPort, , foreignPort] = [
  await listen(servers[0]),
  await listen(servers[1], Number(pagePort)),
  await listen(servers[2]),
];
const api = `http://127.0.0.1:${proxyPort}${prefix}`;
const browser = await launch();
try {
  const allowed = await browser.newPage();
  await allowed.goto(`http://127.0.0.1:${pagePort}/`);
  const { status, text, requestId } = await allowed.evaluate(transcribeInPage, api);
  assert.equal(status, 200);
  assert.ok(text.split(" ").length > 3, text);
  assert.ok(requestId, "the page cannot read X-Request-Id");
  const spoken = await allowed.evaluate(transcribeRealtimeInPage, api);
  assert.ok(spoken.split(" ").length > 3, spoken);

  const foreign = await browser.newPage();
  await foreign.goto(`http://127.0.0.1:${foreignPort}/`);
  await assert.rejects(foreign.evaluate(transcribeInPage, api), /Failed to fetch/);
  await assert.rejects(foreign.evaluate(transcribeRealtimeInPage, api), /the socket failed|closed with/);

  // the server's own page, below the prefix
  const own = await browser.newPage();
  const missing = [];
  own.on("response", (response) => response.status() >= 400 && missing.push(response.url()));
  await own.goto(`${api}/`, { waitUntil: "networkidle" });
  assert.deepEqual(missing, []);
  console.log(`Chromium ${browser.version()}: ${text} | ${spoken}`);
} finally {
  await browser.close();
  for (const server of servers) server.closeAllConnections(), server.close();
}
