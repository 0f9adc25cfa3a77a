"""Every peer has an engine of its name."""

from __future__ import annotations

import pytest

from neuron_whisper.bench.engines.config import DecodingConfig, EngineConfig
from neuron_whisper.bench.engines.peers import PEERS
from neuron_whisper.bench.engines.registry import ENGINES, open_engine


def test_each_peer_and_neuron_whisper_have_an_engine() -> None:
    assert set(ENGINES) == {*PEERS, "neuron-whisper"}


def test_a_missing_package_is_an_import_error_and_an_unknown_engine_a_key_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "faster_whisper", None)  # as if it were not installed
    config = EngineConfig(engine="faster-whisper", variant="int8", source="", threads=1, decoding=DecodingConfig())
    with pytest.raises(ImportError):
        open_engine(config)
    with pytest.raises(KeyError):
        ENGINES["slower-whisper"]
