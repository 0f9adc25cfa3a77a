"""The events of a realtime client as Structs."""

from __future__ import annotations

from typing import Any

import pytest

from neuron_whisper.errors import InvalidOption, MissingOption
from neuron_whisper.server.realtime.conversion import convert
from neuron_whisper.server.realtime.events import (
    CLIENT_EVENTS,
    AnyClientEvent,
    AppendAudio,
    UpdateBetaSession,
    UpdateSession,
    nest_beta_session,
)


def parse(event: dict[str, Any]) -> Any:
    return convert(event, AnyClientEvent)  # type: ignore[arg-type]  # a union is no class


def test_the_types_are_those_of_openais_api_and_of_its_beta() -> None:
    assert set(CLIENT_EVENTS) == {
        "session.update",
        "transcription_session.update",
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
        "input_audio_buffer.clear",
        "session.close",
    }


@pytest.mark.parametrize("event_type", ["input_audio_buffer.commit", "input_audio_buffer.clear", "session.close"])
def test_an_event_may_have_an_id_and_unknown_fields(event_type: str) -> None:
    assert parse({"type": event_type, "event_id": "mine", "extra": 1}).event_id == "mine"


def test_audio_stays_text() -> None:
    event = parse({"type": "input_audio_buffer.append", "audio": "AAEC"})
    assert isinstance(event, AppendAudio)
    assert event.audio == "AAEC"


def test_audio_that_is_missing_is_named() -> None:
    with pytest.raises(MissingOption) as error:
        parse({"type": "input_audio_buffer.append"})
    assert error.value.field == "audio"


def test_a_field_of_a_session_has_its_path() -> None:
    with pytest.raises(InvalidOption) as error:
        parse({"type": "session.update", "session": {"audio": {"input": {"format": {"rate": "x"}}}}})
    assert error.value.field == "session.audio.input.format.rate"


def test_read_only_fields_are_ignored() -> None:
    session = {"id": "sess_1", "object": "realtime.transcription_session", "expires_at": None}
    assert isinstance(parse({"type": "session.update", "session": session}), UpdateSession)


def test_beta_settings_outside_of_the_session_are_moved_into_it() -> None:
    event = {"type": "transcription_session.update", "event_id": "mine", "input_audio_format": "g711_ulaw"}
    parsed = parse(nest_beta_session(event))
    assert isinstance(parsed, UpdateBetaSession)
    assert (parsed.event_id, parsed.session.input_audio_format) == ("mine", "g711_ulaw")


@pytest.mark.parametrize(
    "event",
    [
        {"type": "transcription_session.update", "session": {}, "modalities": []},
        {"type": "session.update", "modalities": []},
    ],
)
def test_other_events_stay_as_they_are(event: dict[str, Any]) -> None:
    assert nest_beta_session(event) == event
