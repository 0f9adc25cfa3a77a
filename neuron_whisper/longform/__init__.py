"""Plans for clips of any length, sans I/O: generators which yield what they want decoded, and segments."""

from neuron_whisper.longform.plan import Await, Item, Outcome, Plan, Submit
from neuron_whisper.longform.planner import plan_for

__all__ = ["Await", "Item", "Outcome", "Plan", "Submit", "plan_for"]
