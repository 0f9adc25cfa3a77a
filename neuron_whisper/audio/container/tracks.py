"""Which of a file's audio tracks is transcribed: by number, by language, or the one that a player would play."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from neuron_whisper.errors import InvalidOption
from neuron_whisper.language_tags import find_whisper_code

FIELD = "audio_track"


class AudioTrack(NamedTuple):
    """`language`: the tag in the file, "" without one. `is_default`: a player would play this one."""

    language: str
    is_default: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackChoice:
    """`track`: a number from 0 or the code of a language. `language`: of the speech, taken where `track` is None.

    `field` is what the user calls `track`. Raises InvalidOption for a negative number.
    """

    track: int | str | None = None
    language: str | None = None
    field: str = FIELD

    def __post_init__(self) -> None:
        if isinstance(self.track, bool) or (isinstance(self.track, int) and self.track < 0):
            raise InvalidOption(self.field, self.track, "a number from 0, or a language")


def choose_track(tracks: Sequence[AudioTrack], choice: TrackChoice) -> tuple[int, str]:
    """(the number of the track, a warning that says which it is where the file has more and none was asked for).

    Raises InvalidOption for a track that is not there.
    """
    numbers = range(len(tracks))
    if isinstance(choice.track, int):
        if choice.track not in numbers:
            raise InvalidOption(choice.field, choice.track, f"the file has {describe_tracks(tracks)}")
        return choice.track, ""
    wanted = choice.track or choice.language
    code = None if wanted is None else find_whisper_code(wanted)
    matching = [n for n in numbers if code is not None and find_whisper_code(tracks[n].language) == code]
    if choice.track is not None and not matching:
        raise InvalidOption(choice.field, choice.track, f"the file has {describe_tracks(tracks)}")
    candidates = matching or list(numbers)
    taken = next((n for n in candidates if tracks[n].is_default), candidates[0])
    if len(tracks) == 1 or (choice.track is not None and len(matching) == 1):
        return taken, ""
    return taken, f"the file has {describe_tracks(tracks)}; track {taken} was taken, {choice.field} chooses another"


def describe_tracks(tracks: Sequence[AudioTrack]) -> str:
    """ "2 audio tracks: 0 (ger), 1 (eng)" """
    described = ", ".join(f"{n} ({track.language or 'no language'})" for n, track in enumerate(tracks[:20]))
    more = ", ..." if len(tracks) > 20 else ""
    return f"{len(tracks)} audio track{'' if len(tracks) == 1 else 's'}: {described}{more}"
