"""Plans for clips of any length, without I/O: generators that yield the windows to decode, and segments."""

from neuron_whisper.longform.plan import AwaitAction, Plan, PlanItem, SubmitAction, TranscriptSummary
from neuron_whisper.longform.planner import plan_transcription

__all__ = ["AwaitAction", "Plan", "PlanItem", "SubmitAction", "TranscriptSummary", "plan_transcription"]
