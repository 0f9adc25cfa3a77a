"""Serves faster-whisper over HTTP: a thread for each connection, `--workers` models at work at once.

Speaks as much of OpenAI's API as bench clients need: POST /v1/audio/transcriptions with `file` and `language`.
Only the standard library and the peer are imported, so that the peer's own python can run it.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import threading
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Any
    slots: threading.Semaphore

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        fields = parse_form(self.headers.get("content-type", ""), body)
        with self.slots:
            segments, _ = self.model.transcribe(
                io.BytesIO(fields["file"]), language=fields.get("language", b"").decode() or None, beam_size=1
            )
            text = "".join(segment.text for segment in segments).strip()
        self._respond({"text": text})

    def do_GET(self) -> None:
        self._respond({"status": "ready"})

    def _respond(self, content: dict[str, str]) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Nothing: a line for each request would be measured, too."""


def parse_form(content_type: str, body: bytes) -> dict[str, bytes]:
    """The fields of a multipart form, files as their bytes."""
    message = BytesParser(policy=HTTP).parsebytes(f"content-type: {content_type}\r\n\r\n".encode() + body)
    return {
        str(part.get_param("name", header="content-disposition")): bytes(part.get_payload(decode=True) or b"")
        for part in message.iter_parts()
    }


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="a CTranslate2 directory")
    parser.add_argument("--compute", default="int8")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    from faster_whisper import WhisperModel

    Handler.model = WhisperModel(
        args.model,
        device="cpu",
        compute_type=args.compute,
        cpu_threads=args.threads,
        num_workers=args.workers,
        local_files_only=True,
    )
    Handler.slots = threading.Semaphore(args.workers)
    with Server(("127.0.0.1", 0), Handler) as server:
        sys.stderr.write(f"listening on http://127.0.0.1:{server.server_address[1]}\n")
        sys.stderr.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
