"""Alignment heads of OpenAI's models, by dimensions and name."""

from __future__ import annotations

import base64
import gzip

import numpy as np
import pytest

from neuron_whisper.model.openai_heads import find_alignment_heads
from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from tests.support.checkpoint_files import DIMS


@pytest.mark.parametrize(
    "name", ["tiny.en", "tiny", "base.en", "base", "small", "medium", "large-v2", "large-v3", "turbo"]
)
def test_a_pt_file_has_the_alignment_heads_that_openai_chose_for_its_model(name: str) -> None:
    whisper = pytest.importorskip("whisper", reason="not proved that the heads are openai-whisper's")
    published = {"turbo": "large-v3-turbo"}.get(name, name)
    dims = PUBLISHED_DIMS[published]
    mask = np.frombuffer(gzip.decompress(base64.b85decode(whisper._ALIGNMENT_HEADS[name])), np.bool_)
    theirs = np.argwhere(mask.reshape(dims.n_text_layer, dims.n_text_head)).tolist()
    assert find_alignment_heads(dims, published) == theirs


def test_a_pt_file_of_no_model_that_openai_made_has_none() -> None:
    assert find_alignment_heads(DIMS, "base") is None
    assert find_alignment_heads(PUBLISHED_DIMS["large-v2"], "my-model") is None, "large-v1 has the same dimensions"
    assert find_alignment_heads(PUBLISHED_DIMS["distil-large-v3"], "distil-large-v3") is None
