"""Variants of NxDI's Whisper: the type of its weights and arithmetic, and the number of cores on a window."""

from __future__ import annotations

DTYPES = ("float16", "float32")  # NxDI's decode takes no other


def parse_variant(variant: str) -> tuple[str, int]:
    """ "float16-tp2" -> ("float16", 2), "float16" -> ("float16", 1)"""
    dtype, _, tp = variant.partition("-tp")
    return dtype, int(tp or 1)


def make_variants(tp: tuple[int, ...] = (1, 2, 4, 8)) -> tuple[str, ...]:
    """Every dtype at every number of cores, the default first."""
    return tuple(f"{dtype}-tp{n}" if n > 1 else dtype for dtype in DTYPES for n in tp)
