"""Whisper speech-to-text on CPUs and AWS Neuron devices: load_model() is the Python API.

The names below are stable. They are loaded on first use, so that `import neuron_whisper` loads neither numpy nor
OpenVINO. It turns OpenVINO's telemetry off in this process.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuron_whisper.api import Model, load_model
    from neuron_whisper.audio.limits import AudioLimits
    from neuron_whisper.audio.vad_options import VadOptions
    from neuron_whisper.decode.options import TranscribeOptions
    from neuron_whisper.errors import (
        ArtifactError,
        AudioTooLarge,
        AudioTooLong,
        AudioUnreadable,
        BuildError,
        CapacityError,
        DecodingFailed,
        DeviceError,
        EngineDraining,
        InputError,
        InvalidOption,
        MissingOption,
        ModelClosed,
        ModelForked,
        NeuronWhisperError,
        ProfileError,
        QueueFull,
        TargetUnavailable,
        UnknownModel,
        UnknownOption,
    )
    from neuron_whisper.live.events import (
        FinalText,
        LiveEvent,
        PartialText,
        SpeechStarted,
        SpeechStopped,
        TextPiece,
        UtteranceCommitted,
        UtteranceFailed,
    )
    from neuron_whisper.live.options import LiveOptions, TurnDetection
    from neuron_whisper.live.session import LiveSession
    from neuron_whisper.transcript import Retry, Segment, SkippedRegion, Transcript, Word

__version__ = "0.3.0"

# Importing OpenVINO would start a process that looks up an analytics host, and write ~/intel. Without this package it
# takes a stub of its own. Here, because every process of ours imports this module before any other.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: not to be imported

__all__ = [
    "ArtifactError",
    "AudioLimits",
    "AudioTooLarge",
    "AudioTooLong",
    "AudioUnreadable",
    "BuildError",
    "CapacityError",
    "DecodingFailed",
    "DeviceError",
    "EngineDraining",
    "FinalText",
    "InputError",
    "InvalidOption",
    "LiveEvent",
    "LiveOptions",
    "LiveSession",
    "MissingOption",
    "Model",
    "ModelClosed",
    "ModelForked",
    "NeuronWhisperError",
    "PartialText",
    "ProfileError",
    "QueueFull",
    "Retry",
    "Segment",
    "SkippedRegion",
    "SpeechStarted",
    "SpeechStopped",
    "TargetUnavailable",
    "TextPiece",
    "TranscribeOptions",
    "Transcript",
    "TurnDetection",
    "UnknownModel",
    "UnknownOption",
    "UtteranceCommitted",
    "UtteranceFailed",
    "VadOptions",
    "Word",
    "__version__",
    "load_model",
]

_MODULES = {
    "neuron_whisper.api": "Model load_model",
    "neuron_whisper.audio.limits": "AudioLimits",
    "neuron_whisper.audio.vad_options": "VadOptions",
    "neuron_whisper.decode.options": "TranscribeOptions",
    "neuron_whisper.errors": "ArtifactError AudioTooLarge AudioTooLong AudioUnreadable BuildError CapacityError"
    " DecodingFailed DeviceError EngineDraining InputError InvalidOption MissingOption ModelClosed ModelForked"
    " NeuronWhisperError ProfileError QueueFull TargetUnavailable UnknownModel UnknownOption",
    "neuron_whisper.live.events": "FinalText LiveEvent PartialText SpeechStarted SpeechStopped TextPiece"
    " UtteranceCommitted UtteranceFailed",
    "neuron_whisper.live.options": "LiveOptions TurnDetection",
    "neuron_whisper.live.session": "LiveSession",
    "neuron_whisper.transcript": "Retry Segment SkippedRegion Transcript Word",
}
_MODULE_OF_NAME = {name: module for module, names in _MODULES.items() for name in names.split()}


if not TYPE_CHECKING:  # or every misspelt name would have a type

    def __getattr__(name: str) -> object:
        if name not in _MODULE_OF_NAME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(_MODULE_OF_NAME[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF_NAME})
