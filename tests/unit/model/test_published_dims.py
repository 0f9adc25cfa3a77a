"""Dimensions of published models."""

from __future__ import annotations

import numpy as np
import pytest

from neuron_whisper.errors import UnknownModel
from neuron_whisper.model.catalogue import CATALOGUE
from neuron_whisper.model.known_dims import find_dims
from neuron_whisper.model.parameters import expected_shapes
from neuron_whisper.model.published_dims import PUBLISHED_DIMS


@pytest.mark.parametrize(
    ("model", "millions"),  # as their authors state them: openai/whisper and huggingface/distil-whisper
    [
        ("tiny", 39),
        ("base", 74),
        ("small", 244),
        ("medium", 769),
        ("large-v2", 1550),
        ("large-v3-turbo", 809),
        ("distil-small.en", 166),
        ("distil-medium.en", 394),
        ("distil-large-v2", 756),
        ("distil-large-v3", 756),
        ("kotoba-v2.0", 756),
    ],
)
def test_published_dimensions_have_the_published_number_of_parameters(model: str, millions: int) -> None:
    count = sum(int(np.prod(shape)) for shape in expected_shapes(PUBLISHED_DIMS[model]).values())
    assert count / 1e6 == pytest.approx(millions, rel=0.06 if millions < 40 else 0.025)


def test_every_model_of_the_catalogue_has_published_dimensions() -> None:
    assert {entry.name for entry in CATALOGUE.values()} == set(PUBLISHED_DIMS)
    assert find_dims("turbo") == find_dims("openai/whisper-large-v3-turbo") == PUBLISHED_DIMS["large-v3-turbo"]
    with pytest.raises(UnknownModel, match="no model named 'large-v9'"):
        find_dims("large-v9")
