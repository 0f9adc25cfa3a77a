"""The sequential plan: where windows start, what they are prompted with, and what they keep."""

from __future__ import annotations

from typing import Any

from neuron_whisper.decode.window import WindowRequest
from neuron_whisper.longform.clip_context import PromptState
from neuron_whisper.longform.sequential import decode_sequential
from tests.support.plans import (
    TOKENIZER,
    ScriptedDecoder,
    make_clip_context,
    run_to_end,
    timestamp_at,
)


def test_a_window_starts_where_the_last_timestamp_of_the_one_before_stands() -> None:
    def script(request: WindowRequest) -> list[int]:
        return [timestamp_at(0), ord("a"), timestamp_at(1200), timestamp_at(1200), ord("b")]  # the b is decoded again

    decoder = ScriptedDecoder(script)
    found, _, _ = run_to_end(
        decode_sequential(make_clip_context(35, vad_filter=False), PromptState(language="en"), [(0, 3500)]), decoder
    )
    assert [segment.seek_s for segment in found[:3]] == [0.0, 12.0, 24.0]
    assert [request.frames for request in decoder.requests[:3]] == [3000, 2300, 1100]
    assert [segment.id for segment in found] == list(range(len(found)))
    assert decoder.is_first == [True] + [False] * (len(decoder.requests) - 1)


def test_the_tokens_of_every_segment_keep_their_own_log_probabilities() -> None:
    tokens = (
        timestamp_at(0),
        ord("a"),
        timestamp_at(500),
        timestamp_at(500),
        ord("b"),
        ord("c"),
        timestamp_at(1500),
        timestamp_at(1500),
        ord("d"),
        timestamp_at(2900),
    )
    logprobs = tuple(-0.01 * n for n in range(len(tokens)))
    decoder = ScriptedDecoder(lambda request: tokens, token_logprobs=logprobs)
    found, _, _ = run_to_end(
        decode_sequential(make_clip_context(30, vad_filter=False), PromptState(language="en"), [(0, 3000)]), decoder
    )
    assert [segment.text for segment in found] == ["a", "bc", "d"]
    pairs = [pair for segment in found for pair in zip(segment.tokens, segment.token_logprobs, strict=True)]
    assert pairs == list(zip(tokens, logprobs, strict=True))


def test_a_window_is_prompted_with_the_text_before_it_unless_its_temperature_was_high() -> None:
    def prompts(temperature: float, **options: Any) -> list[str]:
        decoder = ScriptedDecoder(
            lambda request: [timestamp_at(0), ord("a"), timestamp_at(3000)], temperature=temperature
        )
        context = PromptState(language="en", tokens=[ord("i")], initial_tokens=(ord("i"),))
        run_to_end(decode_sequential(make_clip_context(90, vad_filter=False, **options), context, [(0, 9000)]), decoder)
        return [
            TOKENIZER.decode([*request.options.carried_prompt, *request.options.prompt]) for request in decoder.requests
        ]

    assert prompts(0.0) == ["i", "ia", "iaa"]
    assert prompts(0.0, condition_on_previous_text=False) == ["i", "", ""]
    assert prompts(0.0, condition_on_previous_text=False, carry_initial_prompt=True) == ["i", "i", "i"]
    assert prompts(0.6) == ["i", "", ""], "above prompt_reset_on_temperature"
    assert prompts(0.6, prompt_reset_on_temperature=0.8) == ["i", "ia", "iaa"]


def test_silence_is_skipped_with_its_reason_and_its_text() -> None:
    decoder = ScriptedDecoder(lambda request: [timestamp_at(0), *b"thanks", timestamp_at(500)], is_silence=True)
    plan = decode_sequential(make_clip_context(40, vad_filter=False), PromptState(language="en"), [(0, 4000)])
    found, skipped, summary = run_to_end(plan, decoder)
    assert found == []
    assert summary.text == ""
    assert [(gap.start_s, gap.end_s, gap.reason, gap.text) for gap in skipped] == [
        (0.0, 30.0, "no_speech_threshold", "thanks"),
        (30.0, 40.0, "no_speech_threshold", "thanks"),
    ]


def test_the_language_of_the_first_window_holds_for_all_unless_multilingual() -> None:
    for is_multilingual, expected in ((False, [None, "de", "de"]), (True, [None, None, None])):
        decoder = ScriptedDecoder()
        clip_data = make_clip_context(80, vad_filter=False, multilingual=is_multilingual)
        _, _, summary = run_to_end(decode_sequential(clip_data, PromptState(language=None), [(0, 8000)]), decoder)
        assert [request.options.language for request in decoder.requests] == expected
        assert (summary.language, summary.language_probability) == ("de", 0.9)
