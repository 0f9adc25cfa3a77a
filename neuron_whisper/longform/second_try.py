"""Decodes speech again whose text is missing: louder where it is quiet, in shorter windows, without the text before it.

A model passes over a far speaker between near ones, and may end its text early and stretch it over the rest of the
window. The second text is taken only where it leaves less speech without text than the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TypeAlias

from neuron_whisper.audio.clip import FRAMES_PER_SECOND, HOP_SAMPLES, SAMPLE_RATE
from neuron_whisper.audio.levels import lift_runs
from neuron_whisper.audio.mel import LogMel
from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.longform.clip_context import ClipContext, PromptState
from neuron_whisper.longform.coverage import MIN_UNHEARD_S, measure_lack
from neuron_whisper.longform.lost_speech import (
    FAR_RATIO,
    Item,
    LevelRun,
    Stretch,
    find_stretches,
    is_uneven,
    list_level_runs,
)
from neuron_whisper.text.speaking_time import measure_letters
from neuron_whisper.transcript import Segment, SkippedRegion

ItemGenerator: TypeAlias = Generator[WindowRequest, DecodingResult | None, list[Item]]
DecodeRegion: TypeAlias = Callable[
    [ClipContext, PromptState, int, int], Generator[WindowRequest | Item, DecodingResult | None, None]
]

MAX_DEPTH = 2  # a stretch is halved so often
MIN_HALF_FRAMES = 100
MIN_GAIN = 0.2  # of the missing speech: where halves find less they are not halved again
MAX_LEFT = 0.5  # of the missing speech: a second text that leaves more is not taken
NEW_LETTERS_PER_S = 5.0  # of speech that had no text: with fewer letters it is made up
MIN_LOGPROB, MAX_NO_SPEECH_PROB = -1.0, 0.6  # of the second text
REPEATED = 0.7  # of a text's letters, which the text beside it has already
REPEATED_LETTERS = 4  # in a row
TRIES_PER_WINDOW = 0.25


def try_again(
    clip: ClipContext,
    prompt_state: PromptState,
    items: list[Item],
    span: tuple[int, int],
    *,
    is_prompted: bool,
    decode_region: DecodeRegion,
) -> ItemGenerator:
    """Decodes those stretches of the frames of `span` again whose speech has no text in `items`.

    Returns all items of these frames, in order; the prompt has the text of the old ones still, see `replace_text`.
    `is_prompted`: they were decoded with text or words given before them.
    """
    if clip.speech_map is None or not clip.tries_again or clip.options.max_new_tokens is not None:
        return items
    if any(isinstance(item, Segment) and item.is_truncated for item in items):  # behind a loop there is another
        return items
    prompt_state.second_tries += TRIES_PER_WINDOW
    start_s, end_s = (frame / FRAMES_PER_SECOND for frame in span)
    for stretch in find_stretches(clip, items, start_s, end_s):
        if prompt_state.second_tries < 1:
            break
        is_whole = stretch.start_s - start_s < MIN_UNHEARD_S and end_s - stretch.end_s < MIN_UNHEARD_S
        attempt = _Attempt(clip=clip, stretch=stretch, decode_region=decode_region)
        found = yield from attempt.decode(prompt_state, is_same=is_whole and not is_prompted)
        if attempt.is_better(found):
            items = sorted([*(it for it in items if it not in stretch.items), *found], key=lambda item: item.start_s)
        else:
            prompt_state.second_tries -= attempt.n_windows / 2
    return items


def replace_text(prompt_state: PromptState, items: Sequence[Item], n_before: int) -> None:
    """Makes the text of these items that of the prompt behind its first `n_before` tokens."""
    was_reset = prompt_state.prompt_reset_since > n_before
    prompt_state.tokens[n_before:] = [token for it in items if isinstance(it, Segment) for token in it.tokens]
    if was_reset:
        prompt_state.prompt_reset_since = len(prompt_state.tokens)
    words = [word for item in items if isinstance(item, Segment) for word in item.words]
    if words:
        prompt_state.last_speech_s = words[-1].end_s


@dataclass(slots=True, kw_only=True)
class _Part:
    """Frames of a stretch, and what was found in them."""

    start: int
    end: int
    items: list[Item]


@dataclass(slots=True, kw_only=True)
class _Attempt:
    """Decodes a stretch as a whole, then in halves that meet in a pause, as long as halves find more."""

    clip: ClipContext
    stretch: Stretch
    decode_region: DecodeRegion
    n_windows: int = 0

    def decode(self, prompt_state: PromptState, *, is_same: bool) -> ItemGenerator:
        """Returns the items found. `is_same`: at one level the whole has been decoded just so."""
        stretch = self.stretch
        # whole frames inside of it: segments must not overlap
        start = math.ceil(round(stretch.start_s * FRAMES_PER_SECOND, 6))
        end = max(start, math.floor(round(stretch.end_s * FRAMES_PER_SECOND, 6)))
        runs = list_level_runs(self.clip, stretch.start_s, stretch.end_s)
        second = replace(self.clip, tries_again=False, options=replace(self.clip.options, hotwords=None, prefix=None))
        if self._is_far(runs):
            second = replace(second, mel=_lift(self.clip.mel, runs, start, end))
        elif is_same:
            parts = [_Part(start=start, end=end, items=stretch.items)]
            return (yield from self._halve(second, prompt_state, parts))
        parts = [_Part(start=start, end=end, items=(yield from self._decode_part(second, prompt_state, start, end)))]
        return (yield from self._halve(second, prompt_state, parts))

    def _is_far(self, runs: Sequence[LevelRun]) -> bool:
        return is_uneven(runs) or (bool(runs) and max(run.peak for run in runs) < FAR_RATIO * self.stretch.loudest)

    def _halve(self, clip: ClipContext, prompt_state: PromptState, parts: list[_Part]) -> ItemGenerator:
        for _ in range(MAX_DEPTH):
            lack_s, kept = sum(map(self._lack, parts)), []
            for part in parts:
                cut = self._find_cut(part) if self._lack(part) >= MIN_UNHEARD_S else None
                if cut is None:
                    kept.append(part)
                    continue
                halves = []
                for start, end in ((part.start, cut), (cut, part.end)):
                    found = yield from self._decode_part(clip, prompt_state, start, end)
                    halves.append(_Part(start=start, end=end, items=found))
                kept += halves if sum(map(self._lack, halves)) < self._lack(part) else [part]
            parts = kept
            if lack_s - sum(map(self._lack, parts)) <= MIN_GAIN * lack_s:
                break
        return [item for part in parts for item in part.items]

    def _lack(self, part: _Part) -> float:
        return measure_lack(
            part.items, self.clip.measure_speech, part.start / FRAMES_PER_SECOND, part.end / FRAMES_PER_SECOND
        )

    def _find_cut(self, part: _Part) -> int | None:
        """Finds the frame to cut a part at; None: it is too short."""
        assert self.clip.speech_map is not None
        quarter = (part.end - part.start) / 4
        if 2 * quarter < MIN_HALF_FRAMES:
            return None
        first_s, last_s = ((part.start + quarter) / FRAMES_PER_SECOND, (part.end - quarter) / FRAMES_PER_SECOND)
        return round(self.clip.speech_map.find_pause(first_s, last_s) * FRAMES_PER_SECOND)

    def _decode_part(self, clip: ClipContext, prompt_state: PromptState, start: int, end: int) -> ItemGenerator:
        """Decodes frames without the text before them; only text that the model is sure of counts."""
        state = PromptState(
            language=prompt_state.language,
            language_probs=prompt_state.language_probs,
            is_first=False,
            last_speech_s=start / FRAMES_PER_SECOND,
        )
        decoder = self.decode_region(clip, state, start, end)
        found: list[Item] = []
        result: DecodingResult | None = None
        while True:
            try:
                item = decoder.send(result)
            except StopIteration:
                return [item for item in found if _is_sure(item)]
            result = None
            if isinstance(item, WindowRequest):
                self.n_windows += 1
                result = yield item
            else:
                found.append(item)

    def is_better(self, found: Sequence[Item]) -> bool:
        """Whether these items leave less speech without text, by as much text as such speech has."""
        stretch, measure_speech = self.stretch, self.clip.measure_speech
        old_s, new_s = (
            measure_lack(items, measure_speech, stretch.start_s, stretch.end_s) for items in (stretch.items, found)
        )
        old_s += stretch.hidden_s
        text, old_text = _join_texts(found), _join_texts(stretch.items)
        gained = measure_letters(text) - measure_letters(old_text)
        return (
            new_s <= MAX_LEFT * old_s
            and gained >= NEW_LETTERS_PER_S * (old_s - new_s)
            and not _is_repeated(text, stretch.before, stretch.after)
        )


def _lift(mel: LogMel, runs: Sequence[LevelRun], start: int, end: int) -> LogMel:
    """The frames `start` to `end` with each run of speech as loud as the others."""
    first = start * HOP_SAMPLES
    samples = mel.samples[first : end * HOP_SAMPLES]
    spans = [(round(run.start_s * SAMPLE_RATE) - first, round(run.end_s * SAMPLE_RATE) - first) for run in runs]
    spans = [(max(0, a), min(len(samples), b)) for a, b in spans]
    return LogMel.from_samples(lift_runs(samples, [(a, b) for a, b in spans if a < b]), mel.n_mels, first_frame=start)


def _is_sure(item: Item) -> bool:
    if isinstance(item, SkippedRegion):
        return item.reason != "no_text"
    return (
        not item.is_truncated
        and item.avg_logprob >= MIN_LOGPROB
        and item.no_speech_prob <= MAX_NO_SPEECH_PROB
        and not any(retry.reason == "compression_ratio" for retry in item.retries)
    )


def _join_texts(items: Sequence[Item]) -> str:
    return " ".join(item.text.strip() for item in items if isinstance(item, Segment))


def _is_repeated(text: str, before: str, after: str) -> bool:
    """Whether most of a text stands in one of those beside it: their times are vague, and it has been said."""
    letters = _fold(text)
    for beside in (_fold(before)[-2 * len(letters) :], _fold(after)[: 2 * len(letters)]):
        blocks = SequenceMatcher(None, beside, letters, autojunk=False).get_matching_blocks()
        same = sum(block.size for block in blocks if block.size >= min(REPEATED_LETTERS, len(letters)))
        if letters and same >= REPEATED * len(letters):
            return True
    return False


def _fold(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())
