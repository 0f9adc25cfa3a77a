"""Speech as it is spoken: samples in, partial and final text out."""

from neuron_whisper.live.events import (
    Committed,
    Event,
    Failed,
    Final,
    Partial,
    SpeechStarted,
    SpeechStopped,
    TextPiece,
    told_text,
)
from neuron_whisper.live.options import LiveOptions, TurnDetection
from neuron_whisper.live.session import LiveSession
from neuron_whisper.live.state_machine import LivePlan

__all__ = [
    "Committed",
    "Event",
    "Failed",
    "Final",
    "LiveOptions",
    "LivePlan",
    "LiveSession",
    "Partial",
    "SpeechStarted",
    "SpeechStopped",
    "TextPiece",
    "TurnDetection",
    "told_text",
]
