"""Plans: what is decoded, in what order, and what becomes of it. The decoding itself is a function of the window."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from itertools import chain, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.mel import LogMel
from neuron_whisper.audio.speech import SpeechSpan
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.errors import DeviceError, InvalidOption
from neuron_whisper.longform import Plan, TranscriptSummary, plan_transcription
from neuron_whisper.longform.batched import decode_batched, group_regions
from neuron_whisper.longform.drivers import TranscriptEvent, arun_plan, run_plan
from neuron_whisper.longform.region import ClipContext, PromptState
from neuron_whisper.longform.sequential import decode_sequential
from neuron_whisper.longform.speech_map import SpeechMap
from neuron_whisper.text.special_tokens import N_TIMESTAMPS, SpecialTokens
from neuron_whisper.text.tokenizer import BYTE_TO_UNICODE, Tokenizer
from neuron_whisper.transcript import Segment, SkippedRegion

SPECIAL = SpecialTokens.from_layout(eot=256, n_languages=5, blank=ord(" "), is_multilingual=True)
TOKENIZER = Tokenizer({BYTE_TO_UNICODE[byte]: byte for byte in range(256)}, [], SPECIAL)
BEGIN = SPECIAL.timestamp_begin
VOCABULARY = BEGIN + N_TIMESTAMPS
RATE = 16_000


def clip(seconds: float) -> AudioClip:
    """A swell, so that every window's spectrogram is another."""
    t = np.arange(int(seconds * RATE)) / RATE
    return AudioClip(samples=(np.sin(2 * np.pi * (200 + 20 * t) * t) * 0.1).astype(np.float32))


def at(frames: float) -> int:
    """The timestamp token of so many mel frames."""
    return BEGIN + round(frames / 2)


class Decoder:
    """Answers a window by what `says` makes of (frames of audio, number of the window asked for)."""

    def __init__(self, says: object = None, **fields: object) -> None:
        self._says, self._fields = says, fields
        self.asks: list[WindowRequest] = []
        self.is_first: list[bool] = []

    def __call__(self, request: WindowRequest, *, is_first: bool) -> Future[DecodingResult]:
        self.asks.append(request)
        self.is_first.append(is_first)
        done: Future[DecodingResult] = Future()
        # told by the window itself, not by when it was asked for
        name = f" w{abs(hash(request.mel.tobytes())) % 1000}"
        tokens = self._says(request) if callable(self._says) else [at(0), *name.encode(), at(request.frames)]
        found: dict[str, object] = {
            "tokens": tuple(tokens),
            "text": TOKENIZER.decode(tokens),
            "avg_logprob": -0.2,
            "no_speech_prob": 0.1,
            "compression_ratio": 1.0,
            "temperature": 0.0,
            "language": request.options.language or "de",
            "language_probs": {} if request.options.language else {"de": 0.9, "en": 0.1},
            "token_logprobs": tuple(-0.1 for _ in tokens),
        }
        done.set_result(DecodingResult(**{**found, **self._fields}))  # type: ignore[arg-type]
        return done


def clip_context(seconds: float, voice: SpeechMap | None = None, **options: Any) -> ClipContext:
    mel = LogMel.from_samples(clip(seconds).samples, 80)
    return ClipContext(mel=mel, options=TranscribeOptions(**options), tokenizer=TOKENIZER, speech_map=voice)


def spans(*times: tuple[float, float]) -> SpeechMap:
    return SpeechMap(
        [SpeechSpan(start_sample=int(a * RATE), end_sample=int(b * RATE)) for a, b in times], padding_s=0.0
    )


def run(plan: Plan, decoder: Decoder | None = None) -> tuple[list[Segment], list[SkippedRegion], TranscriptSummary]:
    *told, outcome = run_plan(plan, decoder or Decoder())
    assert isinstance(outcome, TranscriptSummary)
    return (
        [item for item in told if isinstance(item, Segment)],
        [item for item in told if isinstance(item, SkippedRegion)],
        outcome,
    )


# --- sequential -------------------------------------------------------------------------------


def test_a_window_starts_where_the_last_timestamp_of_the_one_before_stands() -> None:
    def says(ask: WindowRequest) -> list[int]:
        return [at(0), ord("a"), at(1200), at(1200), ord("b")]  # the b is heard again

    decoder = Decoder(says)
    found, _, _ = run(
        decode_sequential(clip_context(35, vad_filter=False), PromptState(language="en"), [(0, 3500)]), decoder
    )
    assert [segment.seek_s for segment in found[:3]] == [0.0, 12.0, 24.0]
    assert [ask.frames for ask in decoder.asks[:3]] == [3000, 2300, 1100]
    assert [segment.id for segment in found] == list(range(len(found)))
    assert decoder.is_first == [True] + [False] * (len(decoder.asks) - 1)


def test_the_tokens_of_every_segment_keep_their_own_log_probabilities() -> None:
    tokens = (at(0), ord("a"), at(500), at(500), ord("b"), ord("c"), at(1500), at(1500), ord("d"), at(2900))
    logprobs = tuple(-0.01 * n for n in range(len(tokens)))
    decoder = Decoder(lambda ask: tokens, token_logprobs=logprobs)
    found, _, _ = run(
        decode_sequential(clip_context(30, vad_filter=False), PromptState(language="en"), [(0, 3000)]), decoder
    )
    assert [segment.text for segment in found] == ["a", "bc", "d"]
    told = [pair for segment in found for pair in zip(segment.tokens, segment.token_logprobs, strict=True)]
    assert told == list(zip(tokens, logprobs, strict=True))


def test_a_window_is_prompted_with_the_text_before_it_unless_that_was_hot_or_unwanted() -> None:
    def prompts(temperature: float, **options: Any) -> list[str]:
        decoder = Decoder(lambda ask: [at(0), ord("a"), at(3000)], temperature=temperature)
        context = PromptState(language="en", tokens=[ord("i")], initial_tokens=(ord("i"),))
        run(decode_sequential(clip_context(90, vad_filter=False, **options), context, [(0, 9000)]), decoder)
        return [TOKENIZER.decode(ask.options.prompt) for ask in decoder.asks]

    assert prompts(0.0) == ["i", "ia", "iaa"]
    assert prompts(0.0, condition_on_previous_text=False) == ["i", "", ""]
    assert prompts(0.0, condition_on_previous_text=False, carry_initial_prompt=True) == ["i", "i", "i"]
    assert prompts(0.6) == ["i", "", ""], "above prompt_reset_on_temperature"
    assert prompts(0.6, prompt_reset_on_temperature=0.8) == ["i", "ia", "iaa"]


def test_silence_is_skipped_with_the_reason_and_the_text_it_would_have_been() -> None:
    decoder = Decoder(lambda ask: [at(0), *b"thanks", at(500)], is_silence=True)
    plan = decode_sequential(clip_context(40, vad_filter=False), PromptState(language="en"), [(0, 4000)])
    found, dropped, outcome = run(plan, decoder)
    assert found == []
    assert outcome.text == ""
    assert [(gap.start_s, gap.end_s, gap.reason, gap.text) for gap in dropped] == [
        (0.0, 30.0, "no_speech_threshold", "thanks"),
        (30.0, 40.0, "no_speech_threshold", "thanks"),
    ]


def test_a_window_without_a_voice_is_not_decoded_at_all() -> None:
    decoder = Decoder()
    _, dropped, _ = run(
        decode_sequential(clip_context(100, spans((40, 50))), PromptState(language="en"), [(0, 10_000)]), decoder
    )
    assert len(decoder.asks) == 1
    assert [(gap.start_s, gap.end_s, gap.reason) for gap in dropped] == [
        (0.0, 30.0, "vad"),
        (30.0, 40.0, "vad"),
        (50.0, 80.0, "vad"),
        (80.0, 100.0, "vad"),
    ]
    (ask,) = decoder.asks
    assert ask.frames == 1000


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 2000), st.integers(1, 4000)), max_size=6), st.integers(0, 2), st.integers(1, 9000)
)
def test_no_window_holds_a_long_silence_and_all_that_is_said_is_heard(
    pieces: list[tuple[int, int]], thousandths: int, length: int
) -> None:
    times, at_s = [], 0.0
    for gap, frames in pieces:
        start_s = at_s + gap / 100 + thousandths / 333
        times.append((start_s, at_s := start_s + frames / 100))
    heard = clip_context(length / 100, spans(*times))
    asked: list[int] = []

    def watched(ask: WindowRequest) -> list[int]:
        asked.append(ask.frames)
        return [at(0), ord("a"), at(ask.frames)]

    found, dropped, _ = run(decode_sequential(heard, PromptState(language="en"), [(0, length)]), Decoder(watched))
    windows = [(it.seek_s, it.seek_s + frames / 100) for it, frames in zip(found, asked, strict=True)]
    ends = sorted([*((it.start_s, it.end_s) for it in dropped), *windows])
    # every hundredth of the clip lies in one window or in one silence
    assert all(abs(before[1] - after[0]) < 0.001 for before, after in pairwise(ends))
    assert (ends[0][0], round(ends[-1][1], 2)) == (0, length / 100)
    for segment in found:
        inside = [(a, b) for a, b in times if b > segment.seek_s and a < segment.end_s]
        assert inside
        assert all(b[0] - a[1] <= 3.01 for a, b in pairwise(inside))


def test_a_segment_where_nobody_speaks_is_dropped_and_prompts_nothing() -> None:
    def says(ask: WindowRequest) -> list[int]:
        rest = [at(410), ord("x"), at(680), at(690), ord("b"), at(3000)] if ask.frames > 680 else []
        return [at(0), ord("a"), at(400), *rest]

    decoder = Decoder(says)
    found, dropped, outcome = run(
        decode_sequential(clip_context(34, spans((0, 4), (6.9, 34))), PromptState(language="en"), [(0, 3400)]), decoder
    )
    assert [segment.text for segment in found] == ["a", "b", "a"]
    assert [gap.text for gap in dropped if gap.reason == "vad"] == ["x"]
    assert outcome.text == "aba"
    assert TOKENIZER.decode(decoder.asks[1].options.prompt) == "ab"


def test_only_the_clips_that_were_asked_for_are_heard() -> None:
    decoder = Decoder()
    plan = plan_transcription(
        clip(50),
        TranscribeOptions(clip_timestamps=(5.0, 9.0, 41.0), vad_filter=False),
        TOKENIZER,
        n_mels=80,
        concurrency=2,
    )
    found, _, _ = run(plan, decoder)
    assert [(segment.start_s, segment.end_s) for segment in found] == [(5.0, 9.0), (41.0, 50.0)]
    assert [ask.frames for ask in decoder.asks] == [400, 900]


def test_the_language_of_the_first_window_is_that_of_the_others_unless_each_is_asked() -> None:
    for is_multilingual, expected in ((False, [None, "de", "de"]), (True, [None, None, None])):
        decoder = Decoder()
        heard = clip_context(80, vad_filter=False, multilingual=is_multilingual)
        _, _, outcome = run(decode_sequential(heard, PromptState(language=None), [(0, 8000)]), decoder)
        assert [ask.options.language for ask in decoder.asks] == expected
        assert (outcome.language, outcome.language_probability) == ("de", 0.9)


def test_a_language_that_the_model_does_not_know_is_refused_before_anything_is_decoded() -> None:
    with pytest.raises(InvalidOption, match="language"):
        plan_transcription(clip(1), TranscribeOptions(language="ja"), TOKENIZER, n_mels=80, concurrency=1)


def sounds() -> dict[str, np.ndarray]:
    """40 s each of what is not speech."""
    rng = np.random.default_rng(0)
    n = 40 * RATE
    t = np.arange(n) / RATE
    white = rng.standard_normal(n)
    shaped = np.fft.rfft(white) / np.sqrt(np.maximum(1, np.arange(n // 2 + 1)))
    chords = sum(np.sin(2 * np.pi * hertz * t) * (np.sin(2 * np.pi * t / 4) > 0) for hertz in (262, 330, 392, 523))
    breath = white * np.maximum(0, np.sin(2 * np.pi * t / 3)) ** 4
    made = {
        "silence": np.zeros(n),
        "white noise": 0.1 * white,
        "pink noise": 10 * np.fft.irfft(shaped, n),
        "a tone": 0.3 * np.sin(2 * np.pi * 440 * t),
        "chords": 0.1 * chords,
        "breaths": 0.05 * breath,
    }
    return {name: samples.astype(np.float32) for name, samples in made.items()}


@pytest.mark.parametrize("sound", sounds())
def test_what_is_not_speech_gives_no_text_by_either_plan(sound: str) -> None:
    for long_form in ("sequential", "batched"):
        decoder = Decoder()
        options = TranscribeOptions(long_form=long_form)
        heard = AudioClip(samples=sounds()[sound])
        found, _, outcome = run(plan_transcription(heard, options, TOKENIZER, n_mels=80, concurrency=4), decoder)
        assert (found, outcome.text, decoder.asks) == ([], "", [])


# --- batched ----------------------------------------------------------------------------------


def shuffled(ask: WindowRequest) -> list[int]:
    """Two segments and a rest, which wants a window of its own, where the window is long."""
    name = f" {ask.mel[:, :5].sum():.3f}".encode()
    middle = ask.frames // 4 * 2
    return [at(0), *name, at(middle), at(middle), *name] if ask.frames > 600 else [at(0), *name, at(ask.frames)]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(20, 2900)), min_size=1, max_size=7), st.integers(1, 5))
def test_side_by_side_stretches_say_in_order_what_they_say_one_after_another(
    pieces: list[tuple[int, int]], width: int
) -> None:
    stretches, end = [], 0
    for gap, length in pieces:
        stretches.append((end + gap, end + gap + length))
        end += gap + length
    heard = clip_context(end / 100, vad_filter=False)
    together, _, outcome = run(
        decode_batched(heard, PromptState(language="en"), stretches, concurrency=width), Decoder(shuffled)
    )
    alone = [
        segment
        for stretch in stretches
        for segment in run(
            decode_batched(heard, PromptState(language="en"), [stretch], concurrency=1), Decoder(shuffled)
        )[0]
    ]
    assert [(it.text, it.start_s, it.end_s) for it in together] == [(it.text, it.start_s, it.end_s) for it in alone]
    assert [segment.id for segment in together] == list(range(len(together)))
    starts = [segment.start_s for segment in together]
    assert starts == sorted(starts)
    assert outcome.text == "".join(segment.text for segment in together).strip()


def test_as_many_windows_decode_at_once_as_there_is_room_for() -> None:
    waiting: list[int] = []

    class Held(Decoder):
        def __call__(self, request: WindowRequest, *, is_first: bool) -> Future[DecodingResult]:
            waiting.append(1)
            return super().__call__(request, is_first=is_first)

    heard = clip_context(100, vad_filter=False, condition_on_previous_text=False)
    plan = decode_batched(
        heard, PromptState(language="en"), [(n, n + 900) for n in range(0, 9000, 1000)], concurrency=4
    )
    submitted = 0
    for item in run_plan(plan, Held()):
        submitted = submitted or len(waiting)
        assert isinstance(item, (Segment, TranscriptSummary))
    assert submitted == 4


def test_a_few_stretches_in_a_row_are_prompted_with_the_text_before_them_unless_that_is_unwanted() -> None:
    stretches = [(n, n + 900) for n in range(0, 9 * 900, 900)]
    prompts: dict[bool, list[tuple[int, ...]]] = {}
    texts: dict[bool, list[list[int]]] = {}
    for conditions in (True, False):
        decoder = Decoder()
        heard = clip_context(81, vad_filter=False, condition_on_previous_text=conditions)
        found, _, _ = run(decode_batched(heard, PromptState(language="en"), stretches, concurrency=8), decoder)
        asked = {ask.mel.tobytes(): tuple(ask.options.prompt) for ask in decoder.asks}
        prompts[conditions] = [asked[heard.mel.cut_window(*stretch).tobytes()] for stretch in stretches]
        texts[conditions] = [list(segment.tokens) for segment in found]
    assert prompts[False] == [()] * 9
    told = texts[True]
    before = [told[first:at] for first in (0, 3, 6) for at in range(first, first + 3)]  # three runs of three
    assert prompts[True] == [tuple(chain.from_iterable(said)) for said in before]


@given(st.integers(0, 100), st.integers(1, 9))
def test_runs_hold_every_stretch_once_and_are_even(n: int, longest: int) -> None:
    stretches = [(at, at + 1) for at in range(n)]
    made = [list(one) for one in group_regions(stretches, longest)]
    assert list(chain.from_iterable(made)) == stretches
    lengths = [len(one) for one in made]
    assert max(lengths, default=1) <= longest
    assert max(lengths, default=0) - min(lengths, default=0) <= 1
    assert len(made) == -(-n // longest)


def test_the_others_wait_until_the_first_run_has_told_the_language() -> None:
    decoder = Decoder()
    heard = clip_context(60, vad_filter=False, condition_on_previous_text=False)
    plan = decode_batched(heard, PromptState(language=None), [(0, 900), (1000, 1900), (2000, 2500)], concurrency=3)
    _, _, outcome = run(plan, decoder)
    assert [ask.options.language for ask in decoder.asks] == [None, "de", "de"]
    assert outcome.language == "de"


def test_the_rest_of_a_window_that_holds_no_voice_is_not_decoded() -> None:
    decoder = Decoder(lambda ask: [at(0), ord("a"), at(800), at(800)])
    plan = decode_batched(clip_context(20, spans((0, 8))), PromptState(language="en"), [(0, 1000)], concurrency=1)
    found, dropped, _ = run(plan, decoder)
    assert [(segment.start_s, segment.end_s) for segment in found] == [(0.0, 8.0)]
    assert len(decoder.asks) == 1
    assert [gap.reason for gap in dropped] == ["vad"]


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), max_size=8), st.integers(0, 4000), st.integers(1, 900)
)
def test_a_voice_is_heard_where_a_span_lies(pieces: list[tuple[int, int]], start: int, length: int) -> None:
    times, end = [], 0.0
    for gap, long in pieces:
        times.append((end + gap / 100, end + (gap + long) / 100))
        end += (gap + long) / 100
    voice = spans(*times)
    a, b = start / 100, (start + length) / 100
    wanted = sum(max(0.0, min(b, y) - max(a, x)) for x, y in times)
    assert voice.sum_speech_s(start, start + length) == pytest.approx(wanted, abs=0.001)
    if wanted > 0.001:
        assert voice.overlaps(start, start + length)
    if not any(x < b + 0.001 and y > a - 0.001 for x, y in times):
        assert not voice.overlaps(start, start + length)


@pytest.mark.parametrize(
    ("stretch", "left"),
    [
        ((3.0, 9.0), (3.4, 8.1)),
        ((3.6, 7.0), (3.6, 7.0)),
        ((3.0, 15.0), (3.4, 12.1)),
        ((8.5, 9.5), (8.5, 9.5)),
        ((8.0, 9.9), (8.0, 9.9)),
        ((20.0, 30.0), (20.0, 30.0)),
    ],
)
def test_silence_at_the_ends_of_a_segment_is_taken_off_it(
    stretch: tuple[float, float], left: tuple[float, float]
) -> None:
    bare = [SpeechSpan(start_sample=int(a * RATE), end_sample=int(b * RATE)) for a, b in ((3.5, 8.0), (10.0, 12.0))]
    voice = SpeechMap(bare, 0.4, bare)
    assert voice.trim_silence(*stretch) == pytest.approx(left)
    assert SpeechMap(bare, 0.4).trim_silence(*stretch) == stretch, "nothing is known of the speech without its padding"


# --- drivers ----------------------------------------------------------------------------------


def test_asyncio_and_threads_tell_the_same() -> None:
    def plan() -> Plan:
        return decode_batched(
            clip_context(60, vad_filter=False), PromptState(language="en"), [(0, 2000), (2500, 5000)], concurrency=2
        )

    async def gathered() -> list[TranscriptEvent]:
        return [item async for item in arun_plan(plan(), Decoder(shuffled))]

    assert asyncio.run(gathered()) == list(run_plan(plan(), Decoder(shuffled)))


class Unanswered:
    """Windows whose answers never come, but the first where it is a failure."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.futures: list[Future[DecodingResult]] = []

    def __call__(self, request: WindowRequest, *, is_first: bool) -> Future[DecodingResult]:
        future: Future[DecodingResult] = Future()
        if self.error is not None and not self.futures:
            future.set_exception(self.error)
        self.futures.append(future)
        return future


def three_stretches() -> Plan:
    heard = clip_context(60, vad_filter=False, condition_on_previous_text=False)
    return decode_batched(heard, PromptState(language="en"), [(0, 900), (1000, 1900), (2000, 2500)], concurrency=3)


def test_a_window_that_fails_ends_the_clip_and_cancels_its_others() -> None:
    engine = Unanswered(DeviceError("gone"))
    with pytest.raises(DeviceError, match="gone"):
        list(run_plan(three_stretches(), engine))
    assert [future.cancelled() for future in engine.futures] == [False, True, True]


def test_a_task_that_is_cancelled_cancels_its_windows() -> None:
    engine = Unanswered()

    async def cancelled() -> None:
        async def consume() -> None:
            async for _ in arun_plan(three_stretches(), engine):
                pass

        task = asyncio.ensure_future(consume())
        async with asyncio.timeout(60):
            while len(engine.futures) < 3:
                await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert all(future.cancelled() for future in engine.futures)
