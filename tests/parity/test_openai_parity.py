"""openai-whisper is the definition of Whisper: the same logits, tokens and segments on the same random weights."""

from __future__ import annotations

import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import whisper
from whisper.decoding import DecodingOptions

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.mel import LogMel
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.decode.window import WindowRequest
from neuron_whisper.decode.window_options import WindowOptions
from neuron_whisper.engine.engine import Engine
from neuron_whisper.transcriber import Transcriber
from tests.support.openai_model import noise, openai_model, reference_session, tokenizer

# Vocabularies: 51864 tokens are English-only, 51865 multilingual, 51866 of the large-v3 family.


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizers")


def without_specials(text: str) -> str:
    """openai-whisper writes a language token that was sampled into the text; random weights sample some."""
    return re.sub(r"<\|[^|]*\|>", "", text).strip()


@pytest.mark.parametrize("n_mels", [80, 128])
def test_logits_are_openai_whispers(n_mels: int) -> None:
    model, session = openai_model(51866, n_mels), reference_session(51866, n_mels)
    mel = LogMel.from_samples(noise(30), n_mels).cut_window(0)
    tokens = np.array([50258, 50259, 50360, 50365, 11, 400, 7000, 50400], np.int32)
    with torch.no_grad():
        expected = model(torch.from_numpy(mel[None]), torch.from_numpy(tokens[None]).long())[0].numpy()
    session.encode([1], mel[None])
    found = session.prompt_logits(1, tokens)
    session.close()
    assert expected.std() > 0.5, "the weights must move the answer"
    np.testing.assert_allclose(found, expected, atol=2e-4)


WINDOWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "defaults": ({}, {}),
    "a prompt": ({"prompt": list(range(300, 330))}, {"prompt": tuple(range(300, 330))}),
    "a prompt longer than may be": ({"prompt": list(range(1000, 1300))}, {"prompt": tuple(range(1000, 1300))}),
    "no timestamps": ({"without_timestamps": True}, {"without_timestamps": True}),
    "a late first timestamp": ({"max_initial_timestamp": 12.0}, {"max_initial_timestamp_s": 12.0}),
    "blank allowed": ({"suppress_blank": False}, {"suppress_blank": False}),
    "other tokens suppressed": ({"suppress_tokens": [1, 2, 3]}, {"suppress_tokens": (1, 2, 3)}),
    "translate": ({"task": "translate"}, {"task": "translate"}),
    "beams": ({"beam_size": 5, "sample_len": 48}, {"beam_size": 5, "max_new_tokens": 48}),
    "patient beams": (
        {"beam_size": 3, "patience": 2.0, "length_penalty": 0.7, "sample_len": 32},
        {"beam_size": 3, "patience": 2.0, "length_penalty": 0.7, "max_new_tokens": 32},
    ),
    "a prefix": ({"prefix": " Hello there", "sample_len": 40}, {"prefix": (), "max_new_tokens": 40}),
    "a short sample": ({"sample_len": 17}, {"max_new_tokens": 17}),
}


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # openai-whisper's beams
@pytest.mark.parametrize(
    ("n_vocab", "case"), [(51864, "defaults"), *((51865, case) for case in WINDOWS), (51866, "defaults")]
)
def test_a_window_decodes_to_openai_whispers_tokens(case: str, n_vocab: int, directory: Path) -> None:
    theirs, ours = WINDOWS[case]
    model, words = openai_model(n_vocab), tokenizer(n_vocab, directory)
    suppressed = frozenset(words.get_suppress_tokens(ours.get("suppress_tokens", "-1")))
    options = {"task": "transcribe", **{k: v for k, v in ours.items() if k != "suppress_tokens"}}
    if "prefix" in ours:
        options["prefix"] = tuple(words.encode(theirs["prefix"]))
    engine = Engine(reference_session(n_vocab, beams=ours.get("beam_size", 1)), words)
    for seed in (1, 2):
        mel = LogMel.from_samples(noise(30, seed), 80).cut_window(0)
        window = WindowOptions(language="en", suppress_tokens=suppressed, **options)
        found = engine.submit(WindowRequest(mel=mel, options=window)).result(60)
        expected = whisper.decode(
            model, torch.from_numpy(mel), DecodingOptions(language="en", fp16=False, temperature=0.0, **theirs)
        )
        assert list(found.tokens) == expected.tokens
        assert found.text == without_specials(expected.text)
        assert found.avg_logprob == pytest.approx(expected.avg_logprob, abs=1e-4)
        assert found.no_speech_prob == pytest.approx(expected.no_speech_prob, abs=1e-5)
        if found.text == expected.text != "":
            assert found.compression_ratio == pytest.approx(expected.compression_ratio)
    engine.close()


def test_the_language_is_openai_whispers(directory: Path) -> None:
    model, words = openai_model(51865), tokenizer(51865, directory)
    engine = Engine(reference_session(51865), words)
    mel = LogMel.from_samples(noise(30, 4), 80).cut_window(0)
    found = engine.submit(WindowRequest(mel=mel, options=WindowOptions(language=None, task="transcribe"))).result(60)
    engine.close()
    _, probs = whisper.detect_language(model, torch.from_numpy(mel))
    assert found.language == max(probs, key=lambda code: probs[code])
    assert found.language_probs == pytest.approx(probs, abs=1e-5)


LONG: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "defaults": ({}, {}),
    "an initial prompt": ({"initial_prompt": "Hello there."}, {"initial_prompt": "Hello there."}),
    "no previous text": ({"condition_on_previous_text": False}, {"condition_on_previous_text": False}),
    "silence is skipped": (
        {"no_speech_threshold": 0.0, "logprob_threshold": -0.01},
        {"no_speech_threshold": 0.0, "logprob_threshold": -0.01},
    ),
}


@pytest.mark.parametrize(
    ("n_vocab", "case"), [(51864, "defaults"), *((51865, case) for case in LONG), (51866, "defaults")]
)
def test_a_long_clip_gives_openai_whispers_segments(n_vocab: int, case: str, directory: Path) -> None:
    theirs, ours = LONG[case]
    samples = noise(43.7, seed=5)
    transcriber = Transcriber.from_session(reference_session(n_vocab), tokenizer(n_vocab, directory), name="small")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = whisper.transcribe(
            openai_model(n_vocab), samples, language="en", temperature=0.0, fp16=False, **theirs
        )
    found = transcriber.transcribe(
        AudioClip(samples=samples),
        TranscribeOptions(language="en", temperature=0.0, vad_filter=False, repetition_cut=False, **ours),
    )
    transcriber.close()
    segments = [segment for segment in expected["segments"] if segment["tokens"]]
    assert [list(segment.tokens) for segment in found.segments] == [segment["tokens"] for segment in segments]
    assert [segment.text for segment in found.segments] == [segment["text"] for segment in segments]
    for mine, other in zip(found.segments, segments, strict=True):
        window_end_s = min(other["seek"] / 100 + 30, 43.7)  # theirs leave the audio there
        assert mine.start_s == pytest.approx(min(other["start"], window_end_s))
        assert mine.end_s == pytest.approx(min(other["end"], window_end_s))
        assert round(mine.seek_s * 100) == other["seek"]
        assert mine.avg_logprob == pytest.approx(other["avg_logprob"], abs=1e-4)
        assert mine.no_speech_prob == pytest.approx(other["no_speech_prob"], abs=1e-5)
    assert found.text == without_specials(expected["text"])


def test_many_clips_at_once_say_what_they_say_one_after_another(directory: Path) -> None:
    transcriber = Transcriber.from_session(reference_session(51865), tokenizer(51865, directory), name="small")
    clips = [AudioClip(samples=noise(6 + seed, seed)) for seed in range(4)]
    options = TranscribeOptions(language="en", temperature=0.0, vad_filter=False)
    one_by_one = [transcriber.transcribe(clip, options).text for clip in clips]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(lambda clip: transcriber.transcribe(clip, options).text, clips))
    transcriber.close()
    assert at_once == one_by_one
    assert len(set(one_by_one)) > 1, "clips that all say the same prove nothing"
