"""A tiny checkpoint that answers every window with one sentence, and audio that Silero takes for speech.

With them, examples of the documentation run offline and in seconds, and have segments and words to show.
"""

from __future__ import annotations

import io
import wave
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.text.tokenizer import Tokenizer
from tests.support.tiny_models import TINY_DIMS, tiny_weights, write_tiny_checkpoint

SENTENCE = " Hello, world."
SENTENCE_END_S = 2.0
RATE = 16_000
DIRECTION = 80.0  # how far the MLP moves the state: 80 times the token's own embedding
SHARPNESS = 4.0  # logits of about 30 for the next token and 0 for all others
SPOKEN_S = 0.4  # each token of the sentence
POSITIONS_PER_S = 50  # of the encoder
FOCUS = 2.0  # of cross-attention
NORMS = ("ln.weight", "ln_post.weight")  # the end of a layer norm's name

# the first three formants of a, i, u and e, in hertz
FORMANTS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))
BANDWIDTHS = (80, 90, 120)
PITCH_HZ = 120
SYLLABLE_S = 0.25


def write_scripted_checkpoint(directory: Path, *, dims: WhisperDims = TINY_DIMS) -> Path:
    """A directory in Hugging Face's format whose decoder says SENTENCE, from 0 to SENTENCE_END_S, and ends.

    Each token of the script has a dimension of its own; the MLP of the only layer maps it to that of the next. The
    encoder gives positions only: each SPOKEN_S of them has a dimension, to which cross-attention maps a token.
    """
    write_tiny_checkpoint(directory, dims=dims)
    tokenizer = Tokenizer.from_file(directory / "tokenizer.json", dims.n_vocab)
    weights = {name: np.full_like(it, float(name.endswith(NORMS))) for name, it in tiny_weights(dims).items()}
    next_tokens = _script(tokenizer)
    order = {token: index for index, token in enumerate(dict.fromkeys([*next_tokens, *next_tokens.values()]))}
    assert len(order) <= dims.n_text_state
    for token, index in order.items():
        weights["decoder.token_embedding.weight"][token, index] = 1.0
    for token, following in next_tokens.items():
        weights["decoder.blocks.0.mlp.0.weight"][order[token], order[token]] = 1.0
        weights["decoder.blocks.0.mlp.2.weight"][order[following], order[token]] = DIRECTION / 8  # 8: after the norm
    weights["decoder.ln.weight"][:] = SHARPNESS
    spoken = [tokenizer.special.no_timestamps, *tokenizer.encode(SENTENCE)]  # each predicts the next: it looks where
    for number, token in enumerate(spoken):  # that one is
        first, last = (round(it * SPOKEN_S * POSITIONS_PER_S) for it in (number, number + 1))
        weights["encoder.positional_embedding"][first:last, number] = 1.0
        weights["decoder.blocks.0.cross_attn.query.weight"][number, order[token]] = FOCUS
        weights["decoder.blocks.0.cross_attn.key.weight"][number, number] = FOCUS
    return write_tiny_checkpoint(directory, dims=dims, weights=weights)


def _script(tokenizer: Tokenizer) -> dict[int, int]:
    """Each token of the script, and the one that follows it."""
    special = tokenizer.special
    begin, end = special.timestamp_begin, special.timestamp_begin + round(SENTENCE_END_S / 0.02)
    words = tokenizer.encode(SENTENCE)
    script = dict(zip([begin, *words, end], [*words, end, special.eot], strict=True))
    return script | {special.sot: begin, special.transcribe: begin, special.translate: begin,
                     special.no_timestamps: words[0]}  # fmt: skip


def synthesize_speech(seconds: float) -> NDArray[np.float32]:
    """Vowels of a voice, four a second, with a second of near silence after each three seconds."""
    t = np.arange(int(seconds * RATE)) / RATE
    pulses = np.diff(np.floor(np.cumsum(PITCH_HZ * (1 + 0.05 * np.sin(2 * np.pi * 3 * t))) / RATE), prepend=0) > 0
    voice = np.zeros(len(t))
    step = int(SYLLABLE_S * RATE)
    for number, start in enumerate(range(0, len(t), step)):
        if number % 16 >= 12:
            continue
        syllable = pulses[start : start + step].astype(float)
        for formant, bandwidth in zip(FORMANTS[number % len(FORMANTS)], BANDWIDTHS, strict=True):
            radius = np.exp(-np.pi * bandwidth / RATE)
            pole = -2 * radius * np.cos(2 * np.pi * formant / RATE)
            syllable = lfilter([1 - radius], [1, pole, radius**2], syllable)
        voice[start : start + step] = syllable * np.sqrt(np.sin(np.pi * np.arange(len(syllable)) / len(syllable)))
    noise = np.random.default_rng(0).standard_normal(len(t))
    return np.asarray(0.5 * voice / np.abs(voice).max() + 0.002 * noise, np.float32)


def write_wav(path: Path, samples: NDArray[np.float32]) -> Path:
    """16 bit, mono, 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((32_767 * samples).astype("<i2").tobytes())
    return path


def write_mp3(path: Path, samples: NDArray[np.float32]) -> Path:
    held = io.BytesIO()
    with av.open(held, "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=RATE)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="fltp", layout="mono")
        frame.sample_rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    path.write_bytes(held.getvalue())
    return path
