"""Whisper as graphs, written once for every target: encode, prefill, decode, logits, align."""
