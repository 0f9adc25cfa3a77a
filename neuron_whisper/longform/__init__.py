"""Plans for clips of any length, sans I/O: generators which yield what they want decoded, and segments."""

from neuron_whisper.longform.plan import AwaitAction, Plan, PlanItem, SubmitAction, TranscriptSummary
from neuron_whisper.longform.planner import plan_transcription

__all__ = ["AwaitAction", "Plan", "PlanItem", "SubmitAction", "TranscriptSummary", "plan_transcription"]
