"""Finds and truncates repetition loops at the end of a text."""

from __future__ import annotations

from collections.abc import Sequence

MAX_PERIOD_TOKENS = 64  # a repeated sentence
MIN_REPEATS = 4
MIN_LOOP_TOKENS = 24  # "no, no, no, no" may be real speech


def find_loop_start(tokens: Sequence[int], *, min_tokens: int = MIN_LOOP_TOKENS) -> int | None:
    """Finds where the second round of a loop at the end of `tokens` begins; None if they do not end in a loop.

    find_loop_start([9, 1, 2, 1, 2, 1, 2, 1, 2], shortest=8) -> 3
    """
    n = len(tokens)
    for period in range(1, min(MAX_PERIOD_TOKENS, n // MIN_REPEATS) + 1):
        if tokens[n - 1] != tokens[n - 1 - period]:  # most periods end here
            continue
        same = 1
        while same < n - period and tokens[n - 1 - same] == tokens[n - 1 - same - period]:
            same += 1
        loop = same + period  # length of the loop in tokens, first round included
        if loop >= max(min_tokens, MIN_REPEATS * period):
            return n - same
    return None


def truncate_loop(tokens: Sequence[int], text_end: int) -> list[int]:
    """Removes all rounds but the first of a loop at the end of the text.

    Ids from `text_end` on are not text; a timestamp after the first round stays.
    """
    positions = [position for position, token in enumerate(tokens) if token < text_end]
    start = find_loop_start([tokens[position] for position in positions])
    if start is None:
        return list(tokens)
    kept = list(tokens[: positions[start]])
    # of "... text <end> <start>" keep <end>: it is where the kept text ends
    while len(kept) > 1 and kept[-1] >= text_end and kept[-2] >= text_end:
        kept.pop()
    return kept
