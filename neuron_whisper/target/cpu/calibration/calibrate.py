"""Calibration: speech and a checkpoint become the scales of an 8-bit encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from neuron_whisper.audio.clip import HOP_SAMPLES, WINDOW_SAMPLES
from neuron_whisper.audio.mel import window_mel
from neuron_whisper.errors import LoweringFailed
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.cpu.calibration.collect import SpeechWindow, collect_inputs
from neuron_whisper.target.cpu.calibration.evaluate import EncoderErrors
from neuron_whisper.target.cpu.calibration.search import search_layer
from neuron_whisper.target.cpu.encoder_scales import (
    EncoderScales,
    LayerScales,
    ScoreScales,
    layer_parameters,
    score_names,
)
from neuron_whisper.target.cpu.lowering.encoder_layers import find_attention, find_layer_inputs
from neuron_whisper.target.cpu.lowering.lowering import Lowering
from neuron_whisper.target.interfaces import CompileRequest, Progress, spec_from_profile

if TYPE_CHECKING:
    from neuron_whisper.model.checkpoint import Checkpoint

Array = NDArray[np.float32]
PROFILE = parse_profile('format = 1\n[target]\nname = "cpu"\n')  # float32
EVALUATED_WINDOWS = 2  # over which a layer's error is measured ...
EVALUATED_SAMPLES = WINDOW_SAMPLES // 3  # ... of 10 s each: a short graph serves


def cut_windows(clips: Sequence[Array], n_mels: int) -> list[SpeechWindow]:
    """Each clip's windows, padded to 30 s as a short file is; full windows of all clips joined; one of silence."""
    parts = [clip[i : i + WINDOW_SAMPLES] for clip in clips for i in range(0, len(clip), WINDOW_SAMPLES)]
    joined = np.concatenate(clips)
    parts += [joined[i : i + WINDOW_SAMPLES] for i in range(0, len(joined) - WINDOW_SAMPLES + 1, WINDOW_SAMPLES)]
    windows = [SpeechWindow(window_mel(part, n_mels)[None], len(part) / WINDOW_SAMPLES) for part in parts]
    silence = window_mel(np.zeros(WINDOW_SAMPLES, np.float32), n_mels)[None]
    return [*windows, SpeechWindow(silence, 0)]


def calibrate(checkpoint: Checkpoint, clips: Sequence[Array], *, speech: str = "", progress: Progress) -> EncoderScales:
    """The scales of the checkpoint's encoder from clips of speech, 16 kHz mono. `speech` says what they are.

    Raises LoweringFailed for a model two of whose layers are alike.
    """
    dims = checkpoint.dims

    def read(name: str) -> Array:
        return np.array(checkpoint.tensor(name), np.float32)

    progress("lowering the encoder", 0, None)
    model = _lower_encoder(checkpoint)
    layers = find_layer_inputs(model, layer_parameters(dims), read)
    attention = find_attention(model, layers)
    if [it.layer for it in layers] != list(layer_parameters(dims)) or len(attention) != len(score_names(dims)):
        raise LoweringFailed("encode", "the layers of its graph are not those of the model")
    errors = EncoderErrors(model, dims, read, _evaluated_mels(clips, dims.n_mels))
    samples, peaks = collect_inputs(
        model,
        layers,
        attention,
        cut_windows(clips, dims.n_mels),
        lambda done, total: progress("running the speech", done, total),
    )
    found: dict[str, LayerScales] = {}
    for done, (name, parameters) in enumerate(layer_parameters(dims).items()):
        progress("searching scales", done, len(layers))
        found[name] = search_layer(samples.pop(name), np.concatenate([read(it) for it in parameters]))
    scores = {name: ScoreScales(query_peak=query, key_peak=key, error=0) for name, (query, key) in peaks.items()}
    drafted = EncoderScales(layers=found, scores=scores, speech=speech)
    return _measure_errors(drafted, errors.measure, progress)


def _measure_errors(
    scales: EncoderScales, measure: Callable[[EncoderScales, Sequence[str]], float], progress: Progress
) -> EncoderScales:
    names = [*scales.layers, *scales.scores]
    measured = {}
    for done, name in enumerate(names):
        progress("measuring layers", done, len(names))
        measured[name] = measure(scales, [name])
    return replace(
        scales,
        layers={name: replace(it, error=measured[name]) for name, it in scales.layers.items()},
        scores={name: replace(it, error=measured[name]) for name, it in scales.scores.items()},
    )


def _lower_encoder(checkpoint: Checkpoint) -> ov.Model:
    request = CompileRequest(
        spec=spec_from_profile(checkpoint.dims, PROFILE),
        profile=PROFILE,
        checkpoint=checkpoint,
        directory=Path(),  # nothing is written
        progress=lambda what, done, total: None,
    )
    return Lowering(request).lower_graph("encode_1")


def _evaluated_mels(clips: Sequence[Array], n_mels: int) -> list[Array]:
    """The starts of a clip at the beginning and of one in the middle, a mel of 10 s each."""
    frames = EVALUATED_SAMPLES // HOP_SAMPLES
    chosen = [clips[i * len(clips) // EVALUATED_WINDOWS] for i in range(EVALUATED_WINDOWS)]
    return [np.ascontiguousarray(window_mel(it[:EVALUATED_SAMPLES], n_mels)[None, :, :frames]) for it in chosen]
