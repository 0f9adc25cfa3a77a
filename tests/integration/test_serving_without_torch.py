"""A CPU server starts and transcribes where torch cannot be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import httpx

from tests.support.servers import TRANSCRIPTIONS, tone
from tests.support.tiny_models import tiny_checkpoint, tiny_profile

__all__ = ["tiny_checkpoint", "tiny_profile"]  # fixtures

# Runs the real command line with an importer that refuses torch and everything only the compile stage may use.
WITHOUT_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "whisper", "transformers", "numba"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
from neuron_whisper.cli.main import main
main()
"""


def test_the_cpu_server_transcribes_with_torch_not_importable(
    tiny_checkpoint: Path, tiny_profile: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    compiled = subprocess.run(
        [
            sys.executable,
            "-m",
            "neuron_whisper",
            "compile",
            "--model",
            tiny_checkpoint,
            "--profile",
            tiny_profile,
            "--cache",
            cache,
            "--json",
        ],
        check=True,
        capture_output=True,
    )
    artifact = json.loads(compiled.stdout)["name"]
    server = subprocess.Popen(
        [sys.executable, "-c", WITHOUT_TORCH, "serve", "--artifact", artifact, "--cache", cache, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr is not None
        url = ""
        for line in server.stderr:
            if "http://" in line:
                url = "http://" + line.split("http://")[1].split()[0].rstrip("/")
                break
        assert url, "the server did not say where it listens"
        wait_until_ready(url)
        answer = httpx.post(url + TRANSCRIPTIONS, files={"file": ("tone.wav", tone())}, timeout=60)
        assert answer.status_code == 200, answer.text
        assert isinstance(answer.json()["text"], str)
    finally:
        server.terminate()
        server.communicate(timeout=30)
    assert server.returncode == 0


def wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url + "/health/ready", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, "not ready in a minute"
            time.sleep(0.05)


def test_compiling_without_torch_says_what_to_install(
    tiny_checkpoint: Path, tiny_profile: Path, tmp_path: Path
) -> None:
    refused = subprocess.run(
        [
            sys.executable,
            "-c",
            WITHOUT_TORCH,
            "compile",
            "--model",
            tiny_checkpoint,
            "--profile",
            tiny_profile,
            "--cache",
            tmp_path / "cache",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 4
    assert 'pip install "neuron-whisper[compile]"' in refused.stderr


def test_a_missing_torch_is_named_before_a_model_is_fetched(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, "transcribe", "--model", "base", "--cache", str(tmp_path / "cache")]
    (tmp_path / "tone.wav").write_bytes(tone())
    refused = subprocess.run(
        [*command, str(tmp_path / "tone.wav")],
        env={**os.environ, "HF_HOME": str(tmp_path / "hub"), "HF_ENDPOINT": "http://127.0.0.1:1", "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 4
    assert "compiling needs torch" in refused.stderr
    assert 'pip install "neuron-whisper[compile]"' in refused.stderr
    assert not (tmp_path / "cache" / "models").exists()
