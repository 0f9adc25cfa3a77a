"""Finds the stretches of a window whose speech has no text: without a segment, in one with too little text, or far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from neuron_whisper.audio.clip import SAMPLE_RATE
from neuron_whisper.audio.levels import find_peak
from neuron_whisper.audio.mel import LogMel
from neuron_whisper.longform.clip_context import ClipContext
from neuron_whisper.longform.coverage import MIN_UNHEARD_S, is_sparse
from neuron_whisper.text.speaking_time import measure_letters
from neuron_whisper.transcript import Segment, SkippedRegion

Item: TypeAlias = Segment | SkippedRegion

FAR_RATIO = 0.1  # of peaks: -20 dB. Whisper passes over speech that is 30 dB below the rest of its window
MAX_PAUSE_S = 0.3  # in a run of speech at one level
LOOSE_LETTERS_PER_S = 8.0  # of speech: a segment with fewer, beside speech without text, may lie wrong itself
DENSEST_LETTERS_PER_S = 25.0  # what fast speech has
MAX_CUT_OFF_S, CUT_S = 0.5, 0.05  # of a run of speech that goes on behind the edge of a stretch
EDGE_S = 0.3  # of silence kept around a stretch


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelRun:
    """Seconds of speech at one level, whose largest sample is `peak`."""

    start_s: float
    end_s: float
    peak: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(slots=True, kw_only=True)
class Stretch:
    """Seconds whose text is to be found again. `items` are what was found there, `hidden_s` of it is far speech whose
    text may be missing, `before` and `after` are the texts beside it. `loudest` is the peak of the speech around it.
    """

    start_s: float
    end_s: float
    items: list[Item] = field(default_factory=list)
    hidden_s: float = 0.0
    before: str = ""
    after: str = ""
    loudest: float = 0.0


@dataclass(slots=True, kw_only=True)
class _Piece:
    start_s: float
    end_s: float
    item: Item | None = None
    is_lost: bool = False
    is_loose: bool = False
    hidden_s: float = 0.0


def list_level_runs(clip: ClipContext, start_s: float, end_s: float) -> list[LevelRun]:
    """Lists the speech between these two in runs that end in a pause where the level changes, or in a longer pause."""
    assert clip.speech_map is not None
    runs: list[LevelRun] = []
    for first_s, last_s in clip.speech_map.list_runs(start_s, end_s):
        peak = find_peak(clip.mel.samples[int(first_s * SAMPLE_RATE) : int(last_s * SAMPLE_RATE)])
        before = runs[-1] if runs else None
        if (
            before is not None
            and first_s - before.end_s <= MAX_PAUSE_S
            and FAR_RATIO * before.peak < peak
            and FAR_RATIO * peak < before.peak
        ):
            runs[-1] = LevelRun(start_s=before.start_s, end_s=last_s, peak=max(peak, before.peak))
        else:
            runs.append(LevelRun(start_s=first_s, end_s=last_s, peak=peak))
    return runs


def is_uneven(runs: Sequence[LevelRun]) -> bool:
    """Whether one of them is far from the microphone beside another."""
    peaks = [run.peak for run in runs]
    return bool(peaks) and min(peaks) < FAR_RATIO * max(peaks)


def find_stretches(clip: ClipContext, items: Sequence[Item], start_s: float, end_s: float) -> list[Stretch]:
    """Finds the stretches between these two seconds, in order; `items` have been found in them."""
    stretches: list[Stretch] = []
    current: list[_Piece] = []
    pieces = list(_list_pieces(clip, items, start_s, end_s))
    from_s, before = start_s, ""
    loudest = max((run.peak for run in list_level_runs(clip, start_s, end_s)), default=0.0)
    for piece in [*pieces, _Piece(start_s=end_s, end_s=end_s)]:
        if piece.is_lost or piece.is_loose:
            current.append(piece)
            continue
        text = piece.item.text if isinstance(piece.item, Segment) else ""
        if any(each.is_lost for each in current):
            stretches.append(_join(clip, current, from_s, piece.start_s, before, text, loudest))
        elif current:
            before = " ".join(each.item.text for each in current if isinstance(each.item, Segment))
        current, from_s, before = [], piece.end_s, text or before
    return [stretch for stretch in stretches if stretch.end_s > stretch.start_s]


def _join(
    clip: ClipContext,
    pieces: Sequence[_Piece],
    low_s: float,
    high_s: float,
    before: str,
    after: str,
    loudest: float,
) -> Stretch:
    """Joins pieces to a stretch between two seconds, which begins and ends in silence where it can."""
    assert clip.speech_map is not None
    runs = clip.speech_map.list_runs(low_s, high_s)
    # what the time of a segment beside it cuts off a run of speech is of that segment
    if runs and runs[0][1] < low_s + MAX_CUT_OFF_S and clip.measure_speech(low_s - CUT_S, low_s + CUT_S) > CUT_S:
        runs = runs[1:]
    if runs and runs[-1][0] > high_s - MAX_CUT_OFF_S and clip.measure_speech(high_s - CUT_S, high_s + CUT_S) > CUT_S:
        runs = runs[:-1]
    start_s, end_s = (runs[0][0], runs[-1][1]) if runs else (low_s, low_s)
    return Stretch(
        start_s=max(low_s, start_s - EDGE_S),
        end_s=min(high_s, end_s + EDGE_S),
        items=[piece.item for piece in pieces if piece.item is not None],
        hidden_s=sum(piece.hidden_s for piece in pieces),
        before=before,
        after=after,
        loudest=loudest,
    )


def _list_pieces(clip: ClipContext, items: Sequence[Item], start_s: float, end_s: float) -> Iterator[_Piece]:
    """Lists the items, in order, and the gaps between them that have speech."""
    runs = list_level_runs(clip, start_s, end_s)
    from_s = start_s
    for item in sorted((it for it in items if it.start_s < end_s), key=lambda item: item.start_s):
        if clip.measure_speech(from_s, max(from_s, item.start_s)) >= MIN_UNHEARD_S:
            yield _Piece(start_s=from_s, end_s=item.start_s, is_lost=True)
        yield _judge_segment(clip, item, runs) if isinstance(item, Segment) else _judge_skipped(clip, item)
        from_s = max(from_s, item.end_s)
    if clip.measure_speech(from_s, max(from_s, end_s)) >= MIN_UNHEARD_S:
        yield _Piece(start_s=from_s, end_s=end_s, is_lost=True)


def _judge_segment(clip: ClipContext, segment: Segment, runs: Sequence[LevelRun]) -> _Piece:
    piece = _Piece(start_s=segment.start_s, end_s=segment.end_s, item=segment)
    speech_s = clip.measure_speech(segment.start_s, segment.end_s)
    letters = measure_letters(segment.text)
    piece.is_lost = is_sparse(segment, clip.measure_speech)
    piece.is_loose = letters < LOOSE_LETTERS_PER_S * speech_s
    if not piece.is_lost and is_uneven(runs) and not segment.words:
        far = FAR_RATIO * max(run.peak for run in runs)
        spans = [(max(run.start_s, segment.start_s), min(run.end_s, segment.end_s)) for run in runs if run.peak < far]
        far_s = sum(max(0.0, last_s - first_s) for first_s, last_s in spans)
        # the near speech alone may have all of the text
        if far_s >= MIN_UNHEARD_S and letters <= DENSEST_LETTERS_PER_S * (speech_s - far_s):
            piece.is_lost, piece.hidden_s = True, far_s
    return piece


def _judge_skipped(clip: ClipContext, skipped: SkippedRegion) -> _Piece:
    """Speech that was taken for silence is lost where it is far below the rest of the clip."""
    piece = _Piece(start_s=skipped.start_s, end_s=skipped.end_s, item=skipped)
    if skipped.reason == "no_speech_threshold":
        speech_s = clip.measure_speech(skipped.start_s, skipped.end_s)
        first, end = int(skipped.start_s * SAMPLE_RATE), int(skipped.end_s * SAMPLE_RATE)
        own = LogMel.from_samples(clip.mel.samples[first:end], clip.mel.n_mels)
        is_far = clip.mel.max_log10 - own.max_log10 > -2 * float(np.log10(FAR_RATIO))
        piece.is_lost = speech_s >= MIN_UNHEARD_S and is_far
        piece.hidden_s = speech_s if piece.is_lost else 0.0
    return piece
