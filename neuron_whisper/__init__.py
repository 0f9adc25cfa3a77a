"""Whisper speech-to-text as compiled graphs: compile, store, serve."""

__version__ = "0.2.0"
