"""A peer made ready to be opened: is it installed, and are there weights in its form?"""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPeer:
    """`python` runs it; `facts` are reported: versions, and what its numbers must be read with."""

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
    """Of "faster-whisper:int8" on the checkpoint's weights, kept below `cache`.

    Raises InvalidOption, and TargetUnavailable where it is not installed or its weights cannot be made.
    """
    peer, variant = parse_peer(peer_spec)
    name, python = f"{peer.name} {variant}", select_python(peer, pythons)
    missing, versions = probe_packages(peer, python)
    if missing:
        where = "here" if python == sys.executable else f"for {python}"
        raise TargetUnavailable(name, f"{', '.join(missing)} is not installed {where}", peer.install)
    forms = WeightsConverter(
        checkpoint=checkpoint,
        directory=cache / "bench",
        digest_cache=cache / "digests",
        log=lambda line: log(f"{name}: {line}"),
    )
    opening = EngineConfig(
        engine=peer.name,
        variant=variant,
        source=str(forms.locate_or_convert(peer.weights_format, variant, python)),
        threads=threads,
        decoding=decoding,
        is_multilingual=checkpoint.dims.is_multilingual,
        alignment_heads=checkpoint.alignment_heads or (),
    )
    return PreparedPeer(name=name, python=python, config=opening, facts={"versions": versions, "note": peer.note})
