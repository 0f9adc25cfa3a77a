"""choose_track: the track that was asked for, by number or language, and a word about the others."""

from __future__ import annotations

import pytest

from neuron_whisper.audio.container.tracks import AudioTrack, TrackChoice, choose_track, describe_tracks
from neuron_whisper.errors import InvalidOption

TWO = (AudioTrack("ger", is_default=True), AudioTrack("eng"))


@pytest.mark.parametrize(
    ("track", "language", "taken", "is_told"),
    [
        (None, None, 0, True),
        (None, "en", 1, True),
        (None, "de", 0, True),
        (None, "fr", 0, True),
        (1, None, 1, False),
        (1, "de", 1, False),
        ("en", None, 1, False),
        ("de", "en", 0, False),
    ],
)
def test_the_track_is_the_one_asked_for_then_that_of_the_language_then_the_default(
    track: int | str | None, language: str | None, taken: int, is_told: bool
) -> None:
    number, note = choose_track(TWO, TrackChoice(track=track, language=language))
    assert number == taken
    told = f"the file has 2 audio tracks: 0 (ger), 1 (eng); track {taken} was taken, audio_track chooses another"
    assert note == (told if is_told else "")


@pytest.mark.parametrize(("tag", "code"), [("vls", "nl"), ("prs", "fa"), ("pbu-AF", "ps"), ("cmn-Hans", "zh")])
def test_a_tag_may_be_any_code_of_the_language(tag: str, code: str) -> None:
    assert choose_track([AudioTrack("eng", is_default=True), AudioTrack(tag)], TrackChoice(language=code))[0] == 1


def test_warnings_and_errors_have_the_name_that_the_user_knows() -> None:
    assert choose_track(TWO, TrackChoice(field="--audio-track"))[1].endswith(", --audio-track chooses another")
    for track in (2, "fr"):
        with pytest.raises(InvalidOption) as refused:
            choose_track(TWO, TrackChoice(track=track, field="--audio-track"))
        assert refused.value.field == "--audio-track"


def test_of_several_tracks_of_the_language_the_default_is_taken_and_told() -> None:
    tracks = (AudioTrack("eng"), AudioTrack("deu"), AudioTrack("eng", is_default=True))
    assert choose_track(tracks, TrackChoice(language="en"))[0] == 2
    number, note = choose_track(tracks, TrackChoice(track="en"))
    assert (number, "track 2 was taken" in note) == (2, True)


def test_a_single_track_is_taken_without_a_word_also_with_the_tag_of_another_language() -> None:
    assert choose_track([AudioTrack("ger")], TrackChoice(language="en")) == (0, "")
    assert choose_track([AudioTrack("")], TrackChoice(track=0)) == (0, "")


@pytest.mark.parametrize("track", [2, "fr"])
def test_a_track_that_is_not_there_is_refused_with_those_that_are(track: int | str) -> None:
    with pytest.raises(InvalidOption) as refused:
        choose_track(TWO, TrackChoice(track=track))
    assert (refused.value.field, refused.value.value) == ("audio_track", track)
    assert "0 (ger), 1 (eng)" in refused.value.allowed


@pytest.mark.parametrize("track", [-1, True])
def test_a_number_that_cannot_be_is_refused(track: int) -> None:
    with pytest.raises(InvalidOption) as refused:
        TrackChoice(track=track)
    assert refused.value.field == "audio_track"


def test_tracks_are_described_shortly_however_many_they_are() -> None:
    assert describe_tracks([AudioTrack("")]) == "1 audio track: 0 (no language)"
    assert len(describe_tracks([AudioTrack("eng")] * 500)) < 400
