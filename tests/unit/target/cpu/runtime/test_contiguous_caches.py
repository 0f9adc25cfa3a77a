"""ContiguousCaches: prompts, beams and windows of K/V without a graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from neuron_whisper.target.cpu.runtime.contiguous_caches import ContiguousCaches
from neuron_whisper.target.cpu.runtime.kv_cache_backend import ANY_SLOTS
from tests.support.tiny_program import DIMS, spec

PROGRAM = replace(spec(slots=2, beams=2), audio_contexts=(12,))


def fresh_rows(seed: int, length: int) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    shape = (1, DIMS.n_text_head, length, DIMS.head_dim)
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(2 * DIMS.n_text_layer)]


def test_the_precision_is_bfloat16_where_profile_and_processor_have_it() -> None:
    half, full = ContiguousCaches(PROGRAM, dtype="bfloat16"), ContiguousCaches(PROGRAM, dtype="float32")
    assert half.compile_options(["BF16", "FP32"]) == {"INFERENCE_PRECISION_HINT": "bf16"}
    assert half.compile_options(["FP32"]) == full.compile_options(["BF16"]) == {"INFERENCE_PRECISION_HINT": "f32"}


@pytest.mark.parametrize(
    ("name", "slots", "form"),
    [
        ("decode_1", 1, 1),
        ("logits_2", 1, 1),
        ("decode_1", 2, ANY_SLOTS),
        ("prefill", 1, ANY_SLOTS),
        ("align", 2, ANY_SLOTS),
    ],
)
def test_a_step_of_one_slot_has_a_form_of_its_own(name: str, slots: int, form: int) -> None:
    assert ContiguousCaches(PROGRAM, dtype="float32").form_of(name, slots) == form


def test_cross_views_are_of_the_windows_length() -> None:
    caches = ContiguousCaches(PROGRAM, dtype="float32")
    caches.window_lengths[1] = 12
    lengths = [{view.shape[2] for view in caches.cross_views(slot)} for slot in range(2)]
    assert lengths == [{DIMS.n_audio_ctx}, {12}]


def test_a_shorter_window_is_copied_once_until_its_slot_is_encoded_again() -> None:
    caches, both = ContiguousCaches(PROGRAM, dtype="float32"), np.array([0, 1])
    caches.window_lengths[1] = 12
    for value in (1, 2):
        for view in caches.cross_views(1):
            view[:] = value
        caches.on_encoded([1])
        for cache in caches.cross_caches(both):
            assert cache.shape[2] == DIMS.n_audio_ctx
            assert (cache[1, :, :12] == value).all()
    for view in caches.cross_views(1):
        view[:] = 3  # not reported as encoded
    assert all((cache[1, :, :12] == 2).all() for cache in caches.cross_caches(both))
    assert {cache.shape[2] for cache in caches.cross_caches(np.array([1]))} == {12}
