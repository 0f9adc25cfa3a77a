"""BrokenPromise: what a check of tables has found."""

from __future__ import annotations


class BrokenPromise(Exception):
    """A table promises what the file cannot hold; the message says which and how much."""
