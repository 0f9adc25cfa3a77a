"""The known peers, their packages and variants, and a probe for them in a python."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from neuron_whisper.bench.engines.nxdi_variants import make_variants
from neuron_whisper.errors import InvalidOption

# run in a peer's python: which packages it has, without importing any of them
_PROBE = """
import importlib.util, json, sys
from importlib.metadata import PackageNotFoundError, version
modules, packages = json.loads(sys.argv[1])
found = {}
for name in packages:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
def is_there(name):
    # a module inside a package that is not there raises
    parent = name.rpartition(".")[0]
    return (not parent or is_there(parent)) and importlib.util.find_spec(name) is not None
print(json.dumps([[name for name in modules if not is_there(name)], found]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A peer. `variants` are widths of its weights or arithmetic, the first is the default.

    `modules` must be importable; the versions of `packages` are reported. `is_greedy_only`: it has no beam search.
    """

    name: str
    modules: tuple[str, ...]
    packages: tuple[str, ...]
    variants: tuple[str, ...]
    weights_format: str
    install: str
    note: str = ""
    is_greedy_only: bool = False


_FASTER_WHISPER = Peer(
    name="faster-whisper",
    modules=("faster_whisper",),
    packages=("faster-whisper", "ctranslate2"),
    variants=("int8", "float32", "bfloat16", "int8_float32", "int8_bfloat16"),
    weights_format="ctranslate2",
    install="pip install faster-whisper",
    note="sequential, without VAD, its default",
)
_PEERS = (
    _FASTER_WHISPER,
    replace(_FASTER_WHISPER, name="faster-whisper-batched", note="batches of 8 spans of its VAD, no fallback"),
    Peer(
        name="openai-whisper",
        modules=("whisper", "torch"),
        packages=("openai-whisper", "torch"),
        variants=("float32",),
        weights_format="openai",
        install="pip install openai-whisper",
    ),
    Peer(
        name="openvino-genai",
        modules=("openvino_genai", "openvino_tokenizers", "optimum.intel"),
        weights_format="genai",
        packages=("openvino-genai", "openvino", "optimum-intel", "nncf"),
        variants=("default", "float32", "int8"),
        install="pip install openvino-genai openvino-tokenizers 'optimum-intel[openvino]'",
        note="float16 weights, of int8 int8 weights; no temperature fallback",
    ),
    Peer(
        name="nxdi-whisper",
        modules=("neuronx_distributed_inference.models.whisper", "neuronx_distributed", "torch_neuronx", "whisper"),
        packages=(
            "neuronx-distributed-inference",
            "neuronx-distributed",
            "torch-neuronx",
            "neuronx-cc",
            "openai-whisper",
        ),
        variants=make_variants(),
        weights_format="nxdi",
        install='pip install "neuron-whisper[nxdi]" --extra-index-url https://pip.repos.neuron.amazonaws.com',
        note="one window at a time, tokens chosen on the host; best_of is 1",
        is_greedy_only=True,
    ),
    Peer(
        name="whisper.cpp",
        modules=("pywhispercpp",),
        packages=("pywhispercpp",),
        variants=("f16", "q8_0"),
        weights_format="ggml",
        install="pip install pywhispercpp",
    ),
)
PEERS: Mapping[str, Peer] = MappingProxyType({peer.name: peer for peer in _PEERS})


def parse_peer(text: str) -> tuple[Peer, str]:
    """ "faster-whisper" -> (its Peer, "int8"), "whisper.cpp:q8_0" -> (its Peer, "q8_0"). Raises InvalidOption."""
    name, _, variant = text.partition(":")
    if name not in PEERS:
        raise InvalidOption("--peer", text, f"one of {', '.join(PEERS)}, with :VARIANT if need be")
    peer = PEERS[name]
    variant = variant or peer.variants[0]
    if variant not in peer.variants:
        raise InvalidOption("--peer", text, f"variants of {name}: {', '.join(peer.variants)}")
    return peer, variant


def parse_peer_pythons(assignments: tuple[str, ...]) -> dict[str, str]:
    """("faster-whisper=/venv/bin/python", "/other/python") -> {"faster-whisper": ..., "": ...}: "" is for the rest.

    Raises InvalidOption.
    """
    found: dict[str, str] = {}
    for assignment in assignments:
        name, equals, python = assignment.partition("=")
        if not equals:
            name, python = "", assignment
        if name and name not in PEERS:
            raise InvalidOption("--peer-python", assignment, f"NAME=PYTHON with one of {', '.join(PEERS)}, or PYTHON")
        found[name] = python
    return found


def select_python(peer: Peer, pythons: Mapping[str, str]) -> str:
    return pythons.get(peer.name, pythons.get("", sys.executable))


def probe_packages(peer: Peer, python: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """(modules that the python lacks, versions of the peer's packages). Raises InvalidOption for no python."""
    request = json.dumps([peer.modules, peer.packages])
    try:
        done = subprocess.run(  # noqa: S603 - a fixed script, in a python that the user named
            [python, "-c", _PROBE, request], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise InvalidOption("--peer-python", python, f"a Python 3.11 or later: {error}") from None
    missing, versions = json.loads(done.stdout)
    return tuple(missing), versions
