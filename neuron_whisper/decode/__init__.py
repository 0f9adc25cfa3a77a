"""Decoding of one 30 s window, pure."""
