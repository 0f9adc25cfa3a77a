"""Small artifacts for tests, and a way to die at the n-th file operation."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

from neuron_whisper import __version__
from neuron_whisper.artifact.key import compute_artifact_key, make_artifact_name
from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.artifact.manifest import Manifest, spec_to_data
from neuron_whisper.artifact.source_hash import graph_source_files, hash_sources
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.artifact.transfer import export_artifact
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.interfaces import ProgramSpec
from neuron_whisper.text.special_tokens import SpecialTokens

TOOLCHAIN = {"openvino": version("openvino")}  # another one makes an artifact outdated
GRAPH_SOURCES = hash_sources(graph_source_files("cpu"))
PROFILE = parse_profile('[target]\nname = "cpu"\n')
SPEC = ProgramSpec(
    dims=WhisperDims(
        n_mels=80,
        n_audio_ctx=6,
        n_audio_state=8,
        n_audio_head=2,
        n_audio_layer=2,
        n_vocab=1600,
        n_text_ctx=32,
        n_text_state=8,
        n_text_head=2,
        n_text_layer=1,
    ),
    special=SpecialTokens.from_layout(eot=20, n_languages=2, blank=5, is_multilingual=True),
    slots=2,
    beams=1,
    encode_batch=1,
    prompt_buckets=(4, 8),
    text_context=32,
    choices=1,
    alignment_heads=((0, 0), (0, 1)),
)
FILES: Mapping[str, bytes] = {
    "config.json": b"{}\n",
    "graphs/decode.xml": b"<net/>",
    "weights/tp0.safetensors": bytes(range(256)) * 5,
}

CRASHED = 9
CHILD_LIMIT_S = 30  # a child whose test failed is not waited for
# everything the store asks of the file system; each is called as a built-in function, which a profiler sees
FILE_OPERATIONS = frozenset(
    {"open", "write", "flush", "close", "mkdir", "rename", "replace", "unlink", "rmdir", "chmod", "flock"}
)


def sample_manifest(model: str = "base", **facts: Any) -> Manifest:
    all_facts = {
        "format": 1,
        "graph_sources": GRAPH_SOURCES,
        "checkpoint": {"model.bin": "00"},
        "toolchain": TOOLCHAIN,
        **facts,
    }
    key = compute_artifact_key(all_facts)
    return Manifest(
        name=make_artifact_name(model, "cpu", 1, key),
        key=key,
        model=model,
        target="cpu",
        tp=1,
        created="2025-01-01T12:00:00+00:00",
        neuron_whisper=__version__,
        facts=all_facts,
        spec=spec_to_data(SPEC),
        profile=PROFILE.to_canonical(),
    )


def publish_sample(
    store: ArtifactStore, manifest: Manifest | None = None, files: Mapping[str, bytes] = FILES
) -> Artifact:
    manifest = manifest or sample_manifest()
    with store.stage(manifest.name) as staging:
        for name, content in files.items():
            path = staging.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return store.publish(staging, manifest)


def flip_byte(path: Path, offset: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def start_child(action: Callable[[], object]) -> int:
    """Run `action` in a forked process, which exits 0, or 1 when it raises. Returns its id."""
    with warnings.catch_warnings():
        # other tests may have left idle threads of torch or OpenVINO; the child calls neither
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        signal.alarm(CHILD_LIMIT_S)
        try:
            action()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


def exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def crash_at(operation: int, action: Callable[[], object]) -> bool:
    """Run `action` in a process that ends, as if killed, right before its n-th file operation (from 0).

    False when the action had fewer, and so ran to its end.
    """

    def run() -> None:
        left = operation

        def profiler(frame: FrameType, event: str, argument: Any) -> None:
            nonlocal left
            if event == "c_call" and argument.__name__ in FILE_OPERATIONS:
                if left == 0:
                    os._exit(CRASHED)
                left -= 1

        sys.setprofile(profiler)
        action()
        sys.setprofile(None)

    code = exit_code(start_child(run))
    assert code in (0, CRASHED)
    return code == CRASHED


def crashed_stores(
    tmp_path: Path, prepare: Callable[[ArtifactStore], object], act: Callable[[ArtifactStore], object]
) -> Iterator[ArtifactStore]:
    """Prepared stores in which `act` was killed before its n-th file operation, n = 0, 1, ..., and then not at all."""
    # fsync matters to a power cut, not to a killed process; hundreds of them would take most of the time
    with patch.object(os, "fsync", lambda descriptor: None):
        for operation in range(1000):
            store = ArtifactStore(tmp_path / str(operation))
            prepare(store)
            crashed = crash_at(operation, partial(act, store))
            yield store
            if not crashed:
                return
    raise AssertionError("the action does not end")


def export_bytes(artifact: Artifact) -> bytes:
    stream = io.BytesIO()
    export_artifact(artifact, stream)
    return stream.getvalue()
