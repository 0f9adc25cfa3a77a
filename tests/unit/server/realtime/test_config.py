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
from neuron_whisper.server.realtime.conversion import convert
from neuron_whisper.server.realtime.events import BetaSessionUpdate, SessionUpdate

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
    transcription=st.fixed_dictionaries(
        {},
        optional={
            "language": st.just("de"),
            "languages": st.just(["de", "en"]),
            "prompt": st.just("Names."),
            "keywords": st.just(["Nakamura", "O'Brien"]),
        },
    ),
    encoding=st.just("pcm16"),
    rate=st.sampled_from([16_000, 24_000]),
    turn_detection=st.none()
    | st.builds(TurnDetection, threshold=st.floats(0, 1), prefix_padding_ms=st.integers(0, 5000)),
    wants_logprobs=st.booleans(),
)


@given(values)
@settings(max_examples=60, deadline=None)
def test_any_object_is_a_configuration_or_refused_with_a_name(value: Any) -> None:
    for update in (update_session, update_beta_session):
        error = find_error(update, value)
        assert error is None or (error.field and len(str(error)) < 1000)


def find_error(update: Callable[[RealtimeConfig, Any], RealtimeConfig], value: Any) -> InvalidOption | None:
    try:
        update(RealtimeConfig(), value).live_options(vad_filter=True)
    except InvalidOption as error:
        return error
    return None


def update_session(config: RealtimeConfig, session: Any) -> RealtimeConfig:
    return config.with_update(convert(session, SessionUpdate, "session"))


def update_beta_session(config: RealtimeConfig, session: Any) -> RealtimeConfig:
    return config.with_beta_update(convert(session, BetaSessionUpdate, "session"))


@given(configs)
@settings(max_examples=25, deadline=None)
def test_a_session_object_that_the_client_sends_back_changes_nothing(config: RealtimeConfig) -> None:
    named = update_session(RealtimeConfig(), config.to_session("sess_1", "base"))
    assert named.model == "base"
    assert named.to_session("sess_1", "base") == config.to_session("sess_1", "base")


@given(configs)
@settings(max_examples=25, deadline=None)
def test_a_beta_session_object_that_the_client_sends_back_changes_nothing(config: RealtimeConfig) -> None:
    sent = config.to_beta_session("sess_1", "base")
    assert update_beta_session(RealtimeConfig(), sent).to_beta_session("sess_1", "base") == sent


def test_an_update_changes_only_the_fields_it_has() -> None:
    before = RealtimeConfig(
        transcription={"language": "de", "prompt": "Names."}, turn_detection=None, wants_logprobs=True
    )
    after = update_session(before, {"audio": {"input": {"transcription": {"prompt": ""}}}})
    assert (after.transcription, after.turn_detection, after.wants_logprobs) == ({"language": "de"}, None, True)


@pytest.mark.parametrize(("name", "encoding", "rate"), [("pcm16", "pcm16", 24_000), ("g711_ulaw", "g711_ulaw", 8000)])
def test_each_format_of_the_beta_has_its_rate(name: str, encoding: str, rate: int) -> None:
    config = update_beta_session(RealtimeConfig(), {"input_audio_format": name})
    assert (config.encoding, config.rate) == (encoding, rate)


def test_the_range_of_turn_detection_is_checked_with_the_path_of_the_field() -> None:
    with pytest.raises(InvalidOption) as error:
        update_session(RealtimeConfig(), {"audio": {"input": {"turn_detection": {"threshold": 2}}}})
    assert error.value.field == "session.audio.input.turn_detection.threshold"
