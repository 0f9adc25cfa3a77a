"""Program sizes, and the arrays passed to and from a session."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.interfaces import (
    MASKED_LOGIT,
    MASKED_LOGPROB,
    TopTokens,
    mask_logprobs,
    resolve_beam_parents,
    rows_in_use,
    spec_from_profile,
    suppression_bias,
)
from tests.support.tiny_program import spec

CPU = 'format = 1\n[target]\nname = "cpu"\n'


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slots", 0),
        ("beams", 17),
        ("encode_batch", 65),
        ("text_context", 49),
        ("prompt_buckets", (16, 4)),
        ("prompt_buckets", (3,)),
        ("audio_contexts", (7,)),
        ("audio_contexts", (24,)),
    ],
)
def test_sizes_that_no_program_has_are_refused_by_field(field: str, value: int | tuple[int, ...]) -> None:
    with pytest.raises(InvalidOption) as refused:
        replace(spec(), **{field: value})  # type: ignore[arg-type]  # a field of the parameter's type
    assert refused.value.field == field


def test_the_smallest_bucket_that_holds_a_prompt_is_used() -> None:
    program = spec()
    assert [program.bucket_for(length) for length in (1, 4, 5, 16)] == [4, 4, 16, 16]
    with pytest.raises(InvalidOption) as refused:
        program.bucket_for(17)
    assert refused.value.field == "prompt"


def test_a_shorter_window_must_hold_the_audio_and_two_seconds_of_silence() -> None:
    profile = parse_profile(CPU + "[shapes]\naudio_contexts = [500, 750]")
    program = spec_from_profile(PUBLISHED_DIMS["base"], profile)
    assert [program.frames_to_encode(frames) for frames in (800, 801, 1300, 1301)] == [1000, 1500, 1500, 3000]


def test_a_profiles_lengths_are_cut_to_the_models_context() -> None:
    dims = replace(PUBLISHED_DIMS["base"], n_text_ctx=100)
    program = spec_from_profile(
        dims, parse_profile(CPU + "[shapes]\nprompt_buckets = [4, 300, 448]\nbeams = 3\nalign = true")
    )
    assert (program.text_context, program.prompt_buckets, program.align_buckets) == (100, (4, 100), (64, 100))
    assert program.choices == 7, "beam search needs two candidates a beam and one more"


def test_rows_in_use_are_the_first_of_active_slots() -> None:
    in_use = rows_in_use(np.array([True, False, True]), np.array([1, 2, 2], np.int32), 2)
    assert in_use.tolist() == [[True, False], [False, False], [True, True]]


def test_parents_hold_where_a_slot_has_several_rows_in_use() -> None:
    in_use = np.array([[True, False], [False, False], [True, True]])
    parents = np.array([1, 0, 1, 0, 1, 1], np.int32)
    assert resolve_beam_parents(parents, in_use).tolist() == [[0, 1], [0, 1], [1, 1]]


def test_suppressed_tokens_get_a_bias_that_masks_them() -> None:
    assert suppression_bias(np.array([False, True])).tolist() == [0.0, MASKED_LOGIT]


def test_masked_log_probabilities_become_minus_infinity_in_a_copy() -> None:
    logprobs = np.array([[-1.0, MASKED_LOGPROB - 1]], np.float32)
    assert mask_logprobs(logprobs).tolist() == [[-1.0, -np.inf]]
    assert logprobs[0, 1] == MASKED_LOGPROB - 1


def test_top_tokens_of_rows_that_are_not_in_use_are_empty() -> None:
    top_tokens = TopTokens(tokens=np.array([[5], [6]], np.int32), logprobs=np.array([[-1.0], [-2.0]], np.float32))
    masked, empty = top_tokens.mask_rows(np.array([[True, False]])), TopTokens.empty(1, 1)
    assert (masked.tokens.tolist(), masked.logprobs.tolist()) == ([[5], [0]], [[-1.0], [-np.inf]])
    assert (empty.tokens.tolist(), empty.logprobs.tolist()) == (
        masked.tokens[1:].tolist(),
        masked.logprobs[1:].tolist(),
    )
