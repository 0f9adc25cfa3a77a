// A reverse proxy as nginx's `location /stt/ { proxy_pass http://server/; }`, whose sockets a test can cut.
import { createServer, request } from "node:http";
import { connect } from "node:net";

/**
 * @param {string} target origin of the server, `http://127.0.0.1:8000`
 * @param {string} prefix what stands before its paths here and is taken away, `/stt` or ``
 * @param {(method: string, path: string) => Promise<unknown> | undefined} [hold] keeps a response back until then
 */
export async function startProxy(target, prefix = "", hold = () => undefined) {
  const upstream = new URL(target);
  /** @type {Set<import("node:stream").Duplex>} */
  const sockets = new Set();
  const strip = (url) => (url.startsWith(`${prefix}/`) ? url.slice(prefix.length) : undefined);
  const refuse = { sockets: false };

  const server = createServer((incoming, answer) => {
    const path = strip(incoming.url);
    if (path === undefined) return answer.writeHead(404).end();
    const { method, headers } = incoming;
    const at = { host: upstream.hostname, port: upstream.port, method, path, headers };
    const onward = request(at, async (response) => {
      await hold(method, path);
      answer.writeHead(response.statusCode, response.headers);
      response.pipe(answer);
    });
    onward.on("error", () => (answer.headersSent ? answer.destroy() : answer.writeHead(502).end()));
    answer.on("close", () => onward.destroy());
    incoming.pipe(onward);
  });

  server.on("upgrade", (incoming, socket, head) => {
    const path = strip(incoming.url);
    if (refuse.sockets || path === undefined) return socket.destroy();
    const onward = connect(upstream.port, upstream.hostname, () => {
      onward.write(`${incoming.method} ${path} HTTP/1.1\r\n`);
      const { rawHeaders } = incoming;
      for (let at = 0; at < rawHeaders.length; at += 2) onward.write(`${rawHeaders[at]}: ${rawHeaders[at + 1]}\r\n`);
      onward.write("\r\n");
      onward.write(head);
      socket.pipe(onward).pipe(socket);
    });
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket) && onward.destroy());
    onward.on("error", () => socket.destroy());
    socket.on("error", () => onward.destroy());
  });

  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}${prefix}`,
    /** WebSockets that are open through here. */
    countSockets: () => sockets.size,
    /** Cuts every WebSocket as a network that fails does, and refuses new ones until it is called with `false`. */
    cutSockets(refuseMore = true) {
      refuse.sockets = refuseMore;
      if (refuseMore) for (const socket of sockets) socket.destroy();
    },
    stop() {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      server.close();
    },
  };
}
