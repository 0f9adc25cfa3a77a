"""Peers that are prepared, and one that is not installed."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from neuron_whisper.bench.engines.config import DecodingConfig
from neuron_whisper.bench.engines.peers import PEERS
from neuron_whisper.bench.engines.prepare_peer import PreparedPeer, prepare_peer
from neuron_whisper.errors import InvalidOption, TargetUnavailable
from neuron_whisper.model.checkpoint import open_checkpoint


def prepare(spec: str, checkpoint: Path, cache: Path, **options: Any) -> PreparedPeer:
    return prepare_peer(
        spec,
        open_checkpoint(checkpoint),
        cache=cache,
        pythons={},
        threads=2,
        **{"decoding": DecodingConfig(), **options},
    )


def test_a_peer_that_is_not_installed_is_unavailable_with_its_install_line(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuron_whisper.bench.engines.prepare_peer.probe_packages", lambda peer, python: (("x",), {}))
    with pytest.raises(TargetUnavailable) as unavailable:
        prepare("whisper.cpp:f16", tiny_checkpoint, tmp_path)
    assert unavailable.value.install == PEERS["whisper.cpp"].install
    assert not (tmp_path / "bench").exists()  # nothing is converted for it


def test_a_prepared_peer_has_converted_weights_and_its_versions(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {"pywhispercpp": "1.5.1"}
    monkeypatch.setattr("neuron_whisper.bench.engines.prepare_peer.probe_packages", lambda peer, python: ((), versions))
    lines: list[str] = []
    peer = prepare("whisper.cpp:q8_0", tiny_checkpoint, tmp_path, log=lines.append)
    assert (peer.name, peer.python, peer.facts["versions"]) == ("whisper.cpp q8_0", sys.executable, versions)
    assert Path(peer.config.source).is_file()
    assert (peer.config.threads, peer.config.is_multilingual) == (2, False)
    assert lines == ["whisper.cpp q8_0: converting the weights: ggml-q8_0"]


def test_an_unknown_variant_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption):
        prepare("whisper.cpp:int3", tiny_checkpoint, tmp_path)


def test_a_peer_without_beam_search_is_not_prepared_for_one(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuron_whisper.bench.engines.prepare_peer.probe_packages", lambda peer, python: ((), {}))
    with pytest.raises(TargetUnavailable, match="--beam-size") as unavailable:
        prepare("nxdi-whisper", tiny_checkpoint, tmp_path, decoding=DecodingConfig(beam_size=5))
    assert unavailable.value.install == ""
    assert not (tmp_path / "bench").exists()  # nothing is compiled for it


def test_nxdis_whisper_is_named_with_what_is_missing_where_it_is_not_installed(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    if find_spec("neuronx_distributed_inference"):
        pytest.skip("NxDI is installed: that its absence is named is not proved")
    with pytest.raises(TargetUnavailable, match=r"neuronx_distributed_inference.*is not installed here") as unavailable:
        prepare("nxdi-whisper", tiny_checkpoint, tmp_path)
    assert unavailable.value.target == "nxdi-whisper float16"
    assert "neuron-whisper[nxdi]" in unavailable.value.install
    assert not (tmp_path / "bench").exists()
