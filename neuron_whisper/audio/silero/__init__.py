"""Silero's voice activity detection: its network in numpy, and the reader of its weights."""
