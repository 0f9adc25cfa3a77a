"""Names, variants and pythons of peers, and the probe for their packages."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from neuron_whisper.bench.engines.peers import PEERS, parse_peer, parse_peer_pythons, probe_packages
from neuron_whisper.errors import InvalidOption


def test_peers_are_named_with_a_variant_and_a_python() -> None:
    assert parse_peer("faster-whisper") == (PEERS["faster-whisper"], "int8")
    assert parse_peer("whisper.cpp:q8_0") == (PEERS["whisper.cpp"], "q8_0")
    assert parse_peer_pythons(("faster-whisper=/a", "/b")) == {"faster-whisper": "/a", "": "/b"}
    with pytest.raises(InvalidOption, match="one of faster-whisper, faster-whisper-batched, openai-whisper"):
        parse_peer("slower-whisper")
    with pytest.raises(InvalidOption, match=r"variants of whisper\.cpp: f16, q8_0"):
        parse_peer("whisper.cpp:int8")
    with pytest.raises(InvalidOption, match="--peer-python"):
        parse_peer_pythons(("slower-whisper=/a",))


def test_a_python_is_probed_for_modules_and_versions() -> None:
    peer = replace(PEERS["openai-whisper"], modules=("numpy", "no.such.module"), packages=("numpy", "no-such"))
    assert probe_packages(peer, sys.executable) == (("no.such.module",), {"numpy": np.__version__})
    with pytest.raises(InvalidOption, match="--peer-python"):
        probe_packages(peer, "/no/such/python")
