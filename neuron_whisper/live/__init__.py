"""Live transcription: samples in, partial and final text out."""

from neuron_whisper.live.events import (
    FinalText,
    LiveEvent,
    PartialText,
    SpeechStarted,
    SpeechStopped,
    TextPiece,
    UtteranceCommitted,
    UtteranceFailed,
    join_pieces,
)
from neuron_whisper.live.options import LiveOptions, TurnDetection
from neuron_whisper.live.session import LiveSession
from neuron_whisper.live.state_machine import LiveStateMachine

__all__ = [
    "FinalText",
    "LiveEvent",
    "LiveOptions",
    "LiveSession",
    "LiveStateMachine",
    "PartialText",
    "SpeechStarted",
    "SpeechStopped",
    "TextPiece",
    "TurnDetection",
    "UtteranceCommitted",
    "UtteranceFailed",
    "join_pieces",
]
