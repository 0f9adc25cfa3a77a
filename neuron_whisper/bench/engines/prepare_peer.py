"""A peer made ready to be opened: is it installed, and are there weights in its form?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuron_whisper.bench.engines.config import Decoding, Opening
from neuron_whisper.bench.engines.peers import installed, peer_named, python_of
from neuron_whisper.bench.engines.weights import Forms
from neuron_whisper.errors import TargetUnavailable
from neuron_whisper.model.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyPeer:
    """`python` runs it; `facts` are reported: versions, and what its numbers must be read with."""

    name: str
    python: str
    opening: Opening
    facts: Mapping[str, Any]


def ready_peer(
    told: str,
    checkpoint: Checkpoint,
    *,
    cache: Path,
    pythons: Mapping[str, str],
    threads: int,
    decoding: Decoding,
    tell: Callable[[str], None] = lambda line: None,
) -> ReadyPeer:
    """Of "faster-whisper:int8" on the checkpoint's weights, kept below `cache`.

    Raises InvalidOption, and TargetUnavailable where it is not installed or its weights cannot be made.
    """
    peer, variant = peer_named(told)
    name, python = f"{peer.name} {variant}", python_of(peer, pythons)
    missing, versions = installed(peer, python)
    if missing:
        where = "here" if python == sys.executable else f"for {python}"
        raise TargetUnavailable(name, f"{', '.join(missing)} is not installed {where}", peer.install)
    forms = Forms(
        checkpoint=checkpoint,
        directory=cache / "bench",
        digests=cache / "digests",
        tell=lambda line: tell(f"{name}: {line}"),
    )
    opening = Opening(
        engine=peer.name,
        variant=variant,
        source=str(forms.path(peer.form, variant, python)),
        threads=threads,
        decoding=decoding,
        is_multilingual=checkpoint.dims.is_multilingual,
        alignment_heads=checkpoint.alignment_heads or (),
    )
    return ReadyPeer(name=name, python=python, opening=opening, facts={"versions": versions, "note": peer.note})
