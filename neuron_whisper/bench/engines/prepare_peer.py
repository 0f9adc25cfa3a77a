"""Prepares a peer: checks that it is installed, and converts the weights to its format."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuron_whisper.bench.engines.config import DecodingConfig, EngineConfig
from neuron_whisper.bench.engines.peers import parse_peer, probe_packages, select_python
from neuron_whisper.bench.engines.weights import WeightsConverter
from neuron_whisper.errors import TargetUnavailable
from neuron_whisper.model.checkpoint import Checkpoint
from neuron_whisper.target.neuron.instance import detect_instance_family


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPeer:
    """A peer that can be opened by `python`; `facts` are reported: versions, and a note on how it differs."""

    name: str
    python: str
    config: EngineConfig
    facts: Mapping[str, Any]


def prepare_peer(
    peer_spec: str,
    checkpoint: Checkpoint,
    *,
    cache: Path,
    pythons: Mapping[str, str],
    threads: int,
    decoding: DecodingConfig,
    log: Callable[[str], None] = lambda line: None,
) -> PreparedPeer:
    """The peer of "faster-whisper:int8" on the checkpoint's weights, which are kept below `cache`.

    Raises InvalidOption, and TargetUnavailable where it is not installed or the weights cannot be converted.
    """
    peer, variant = parse_peer(peer_spec)
    name, python = f"{peer.name} {variant}", select_python(peer, pythons)
    missing, versions = probe_packages(peer, python)
    if missing:
        where = "here" if python == sys.executable else f"for {python}"
        raise TargetUnavailable(name, f"{', '.join(missing)} is not installed {where}", peer.install)
    if decoding.beam_size and peer.is_greedy_only:
        raise TargetUnavailable(name, "its graphs decode one sequence; measure it without --beam-size")
    converter = WeightsConverter(
        checkpoint=checkpoint,
        directory=cache / "bench",
        digest_cache=cache / "digests",
        toolchain=versions | {"instance": detect_instance_family()},
        log=lambda line: log(f"{name}: {line}"),
    )
    config = EngineConfig(
        engine=peer.name,
        variant=variant,
        source=str(converter.locate_or_convert(peer.weights_format, variant, python)),
        threads=threads,
        decoding=decoding,
        is_multilingual=checkpoint.dims.is_multilingual,
        alignment_heads=checkpoint.alignment_heads or (),
    )
    return PreparedPeer(name=name, python=python, config=config, facts={"versions": versions, "note": peer.note})
