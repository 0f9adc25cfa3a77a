"""LiteLLM's proxy in front of this server: JSON, verbose JSON and subtitles through it, and a refusal.

`python -m tests.conformance.litellm_proxy URL CLIP`, in an environment of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server

import httpx
import openai

START_S = 180.0
KEY = "sk-conformance"


@contextmanager
def run_proxy(url: str) -> Iterator[str]:
    """The proxy, with one model `stt` that is this server's whisper-1; yields its URL."""
    config = {
        "model_list": [
            {
                "model_name": "stt",
                "litellm_params": {"model": "openai/whisper-1", "api_base": f"{url}/v1", "api_key": "none"},
                "model_info": {"mode": "audio_transcription"},
            }
        ],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"telemetry": False, "num_retries": 0},
    }
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    proxy_url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as directory:
        file, log = Path(directory) / "config.json", Path(directory) / "log"
        file.write_text(json.dumps(config))  # JSON is YAML
        command = [Path(sys.executable).with_name("litellm"), "--config", file, "--host", "127.0.0.1", "--port", port]
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
        with (
            log.open("w") as output,
            subprocess.Popen([*map(str, command)], stdout=output, stderr=output, env=environment) as proxy,
        ):
            try:
                wait_until_live(proxy_url, proxy, log)
                yield proxy_url
            finally:
                proxy.terminate()
                proxy.wait(30)


def wait_until_live(url: str, proxy: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while proxy.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health/liveliness", timeout=5).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise SystemExit(f"LiteLLM's proxy did not start:\n{log.read_text()[-3000:]}")


def main(url: str, clip: str) -> None:
    path = Path(clip)
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        expected = client.audio.transcriptions.create(file=path, model="whisper-1", language="en").text
    with run_proxy(url) as proxy_url, openai.OpenAI(base_url=proxy_url, api_key=KEY, max_retries=0) as client:
        plain = client.audio.transcriptions.create(file=path, model="stt", language="en")
        assert plain.text == expected
        verbose = client.audio.transcriptions.create(
            file=path, model="stt", response_format="verbose_json", timestamp_granularities=["word", "segment"]
        )
        assert verbose.text == expected
        assert verbose.words
        assert verbose.segments
        for response_format in ("text", "srt", "vtt"):
            text = client.audio.transcriptions.create(file=path, model="stt", response_format=response_format)
            assert expected.split()[-1] in str(text), f"{response_format}: {text!r}"
        status = None
        try:
            client.audio.transcriptions.create(file=path, model="stt", temperature=3.0)
        except openai.APIStatusError as error:
            status = error.status_code
        assert status == 400, f"temperature 3 through the proxy: {status}"
    print(f"LiteLLM's proxy: {plain.text}")


if __name__ == "__main__":
    main(*sys.argv[1:])
