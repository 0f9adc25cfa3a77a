"""One utterance: its windows, its final text, and partial requests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.live.options import LiveOptions
from neuron_whisper.live.utterance import MIN_PARTIAL_TOKENS, Utterance, shift_segment, split_pieces
from neuron_whisper.longform.speech_map import SpeechMap
from neuron_whisper.text.special_tokens import SpecialTokens
from neuron_whisper.text.tokenizer import BYTE_TO_UNICODE, Tokenizer
from neuron_whisper.transcript import Segment, Word
from tests.support.live_speech import RATE, SPECIAL, TOKENIZER, make_decoding_result, rising_tone
from tests.support.plans import make_pauseless_map


def make_utterance(start: int = 0) -> Utterance:
    return Utterance(
        number=3, options=LiveOptions(), tokenizer=TOKENIZER, n_mels=80, start=start, seek=start, speech_start=start
    )


def test_a_window_is_requested_once_and_its_text_is_the_final_one() -> None:
    utterance = make_utterance(start=RATE)
    utterance.end = 3 * RATE
    request = utterance.begin_window(rising_tone(2.0), None)
    assert request is not None
    assert request.frames == 200
    assert utterance.is_decoding
    utterance.end_window(make_decoding_result(" one two", until_s=2.0))
    assert utterance.is_done
    final = utterance.build_final()
    assert (final.utterance, final.text, final.start_s, final.end_s) == (3, "one two", 1.0, 3.0)
    assert [(segment.start_s, segment.end_s) for segment in final.segments] == [(1.0, 3.0)]
    assert [piece.text for piece in final.pieces] == [" one", " two"]


def test_a_partial_request_is_greedy_short_and_begins_with_the_stable_text() -> None:
    utterance = make_utterance()
    for text in (" one two", " one two three"):
        assert utterance.build_partial_request(rising_tone(1.0), 100) is not None
        utterance.on_partial_result(make_decoding_result(text))
    request = utterance.build_partial_request(rising_tone(1.0), 100)
    assert request is not None
    assert bytes(request.options.prefix) == b" one two"
    assert (request.options.temperatures, request.options.beam_size) == ((0.0,), None)
    assert request.options.max_new_tokens is not None
    assert MIN_PARTIAL_TOKENS <= request.options.max_new_tokens <= 24
    assert utterance.build_partial_request(rising_tone(1.0), len(b" one two") - 1) is None, "the prefix is too long"


def test_a_partial_result_without_news_is_no_event() -> None:
    utterance = make_utterance()
    assert utterance.on_partial_result(make_decoding_result(" one")) is not None
    assert utterance.on_partial_result(make_decoding_result(" one")) is not None, "it is stable now"
    assert utterance.on_partial_result(make_decoding_result("")) is None


def test_silence_needs_no_decoding() -> None:
    utterance = make_utterance()
    assert utterance.begin_window(np.zeros(RATE, np.float32), SpeechMap([], 0.0)) is None
    assert [region.reason for region in utterance.skipped] == ["vad"]
    assert utterance.seek == RATE


@pytest.mark.parametrize("given", [None, "en"])
def test_an_utterance_of_silence_names_no_language_of_an_english_only_model_unless_it_was_given(
    given: str | None,
) -> None:
    special = SpecialTokens.from_layout(eot=256, n_languages=0, blank=ord(" "), is_multilingual=False)
    tokenizer = Tokenizer({BYTE_TO_UNICODE[byte]: byte for byte in range(256)}, [], special)
    options = LiveOptions(transcribe=TranscribeOptions(language=given))
    utterance = Utterance(
        number=0, options=options, tokenizer=tokenizer, n_mels=80, start=0, seek=0, speech_start=0, end=RATE
    )
    assert utterance.begin_window(np.zeros(RATE, np.float32), SpeechMap([], 0.0)) is None
    assert utterance.build_final().language == given


def test_pieces_are_words_with_their_tokens_and_no_timestamps() -> None:
    tokens = [SPECIAL.timestamp_begin, *b" so it", SPECIAL.timestamp_begin + 10]
    pieces = split_pieces(TOKENIZER, tokens, [float(-n) for n in range(len(tokens))], "en")
    assert [piece.text for piece in pieces] == [" so", " it"]
    assert [piece.logprobs for piece in pieces] == [(-1.0, -2.0, -3.0), (-4.0, -5.0, -6.0)]


@pytest.mark.parametrize(("splitting", "texts"), [("whole", [" 3-2"]), ("openai", [" 3", "-2"])])
def test_pieces_are_split_as_the_options_say(splitting: str, texts: list[str]) -> None:
    pieces = split_pieces(TOKENIZER, [*b" 3-2"], [0.0] * 4, "en", splitting)
    assert [piece.text for piece in pieces] == texts


def test_a_shifted_segment_moves_with_its_words() -> None:
    word = Word(start_s=1.0, end_s=1.5, text=" a", probability=0.9)
    segment = Segment(
        id=0,
        seek_s=0.0,
        start_s=1.0,
        end_s=2.0,
        text=" a",
        tokens=(1,),
        temperature=0.0,
        avg_logprob=0.0,
        compression_ratio=1.0,
        no_speech_prob=0.0,
        words=(word,),
    )
    moved = shift_segment(segment, 10.0)
    assert (moved.seek_s, moved.start_s, moved.end_s) == (10.0, 11.0, 12.0)
    assert (moved.words[0].start_s, moved.words[0].end_s) == (11.0, 11.5)


def test_a_prompt_that_does_not_fit_is_warned_of_with_the_final_text() -> None:
    options = LiveOptions(transcribe=TranscribeOptions(initial_prompt="first " + "x" * 400))
    utterance = Utterance(number=0, options=options, tokenizer=TOKENIZER, n_mels=80, start=0, seek=0, end=0)
    (warning,) = utterance.build_final().warnings
    assert "'first xxx" in warning


def test_speech_behind_the_text_of_a_window_is_a_window_of_its_own() -> None:
    utterance = make_utterance()
    utterance.end = 12 * RATE
    assert utterance.begin_window(rising_tone(12.0), make_pauseless_map((0, 12))) is not None
    utterance.end_window(make_decoding_result(" one", until_s=5.0))
    assert (utterance.is_done, utterance.seek) == (False, 5 * RATE)
    assert utterance.begin_window(rising_tone(7.0), make_pauseless_map((0, 7))) is not None
    utterance.end_window(make_decoding_result(" two", until_s=7.0))
    assert (utterance.is_done, utterance.build_final().text) == (True, "one two")
    assert [(segment.start_s, segment.end_s) for segment in utterance.segments] == [(0.0, 5.0), (5.0, 12.0)]


def test_a_window_whose_text_was_cut_is_decoded_in_parts() -> None:
    utterance = make_utterance()
    utterance.end = 12 * RATE
    assert utterance.begin_window(rising_tone(12.0), make_pauseless_map((0, 5), (6, 12))) is not None
    cut = make_decoding_result(" one" * 9, until_s=12.0)
    utterance.end_window(replace(cut, tokens=cut.tokens[:-1], finish_reason="length"))
    assert (utterance.seek, utterance.segments) == (0, [])
    shorter = utterance.begin_window(rising_tone(12.0), make_pauseless_map((0, 5), (6, 12)))
    assert shorter is not None
    assert shorter.frames == 550
