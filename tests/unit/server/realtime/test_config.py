"""What a realtime session's configuration may be, in both shapes, and that nothing else gets through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.errors import InvalidOption
from neuron_whisper.live import TurnDetection
from neuron_whisper.server.realtime.config import LOGPROBS, RealtimeConfig

NAMES = (
    "type",
    "audio",
    "input",
    "format",
    "rate",
    "transcription",
    "turn_detection",
    "include",
    "model",
    "language",
    "languages",
    "prompt",
    "keywords",
    "threshold",
    "prefix_padding_ms",
    "silence_duration_ms",
    "input_audio_format",
    "input_audio_transcription",
    "noise_reduction",
    "session",
    "other",
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["transcription", "audio/pcm", "audio/pcmu", "server_vad", "pcm16", "en", "", LOGPROBS])
)
values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=25,
)
configs = st.builds(
    RealtimeConfig,
    language=st.none() | st.just("de"),
    languages=st.sampled_from([(), ("de", "en")]),
    prompt=st.none() | st.just("Names."),
    keywords=st.sampled_from([(), ("Nakamura",)]),
    encoding=st.just("pcm16"),
    rate=st.sampled_from([16_000, 24_000]),
    turns=st.none() | st.builds(TurnDetection, threshold=st.floats(0, 1), prefix_padding_ms=st.integers(0, 5000)),
    wants_logprobs=st.booleans(),
)


@given(values)
@settings(max_examples=60, deadline=None)
def test_any_object_is_a_configuration_or_refused_with_a_name(value: Any) -> None:
    for update in (RealtimeConfig().with_update, lambda it: RealtimeConfig().with_beta_update({"session": it})):
        fault = find_error(update, value)
        assert fault is None or (fault.field and len(str(fault)) < 1000)


def find_error(update: Callable[[Any], RealtimeConfig], value: Any) -> InvalidOption | None:
    try:
        update(value).live_options(vad_filter=True)
    except InvalidOption as fault:
        return fault
    return None


@given(configs)
@settings(max_examples=25, deadline=None)
def test_a_session_that_is_sent_back_as_it_was_told_changes_nothing(config: RealtimeConfig) -> None:
    named = RealtimeConfig().with_update(config.to_session("sess_1", "base"))
    assert named.model == "base"
    assert named.to_session("sess_1", "base") == config.to_session("sess_1", "base")


@given(configs)
@settings(max_examples=25, deadline=None)
def test_the_betas_shape_says_the_same(config: RealtimeConfig) -> None:
    told = config.to_beta_session("sess_1", "base")
    again = RealtimeConfig().with_beta_update({"type": "transcription_session.update", "session": told})
    assert again.to_beta_session("sess_1", "base") == told


def test_only_what_is_there_changes() -> None:
    before = RealtimeConfig(language="de", prompt="Names.", turn_detection=None, wants_logprobs=True)
    after = before.with_update({"audio": {"input": {"transcription": {"prompt": ""}}}})
    assert (after.language, after.prompt, after.turn_detection, after.wants_logprobs) == ("de", None, None, True)


@pytest.mark.parametrize(("name", "encoding", "rate"), [("pcm16", "pcm16", 24_000), ("g711_ulaw", "g711_ulaw", 8000)])
def test_the_betas_formats_have_their_own_rates(name: str, encoding: str, rate: int) -> None:
    made = RealtimeConfig().with_beta_update({"type": "transcription_session.update", "input_audio_format": name})
    assert (made.encoding, made.rate) == (encoding, rate)
