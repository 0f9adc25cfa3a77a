"""Loops: a model that says the same again and again, and where it began to."""

from __future__ import annotations

from collections.abc import Sequence

MAX_PERIOD_TOKENS = 64  # tokens; a sentence that comes again
MIN_REPEATS = 4
MIN_LOOP_TOKENS = 24  # tokens; "no, no, no, no" may have been said


def find_loop_start(tokens: Sequence[int], *, min_tokens: int = MIN_LOOP_TOKENS) -> int | None:
    """Where the second round of a loop at the end of `tokens` begins; None when they do not end in one.

    find_loop_start([9, 1, 2, 1, 2, 1, 2, 1, 2], shortest=8) -> 3
    """
    n = len(tokens)
    for period in range(1, min(MAX_PERIOD_TOKENS, n // MIN_REPEATS) + 1):
        if tokens[n - 1] != tokens[n - 1 - period]:  # most periods end here
            continue
        same = 1
        while same < n - period and tokens[n - 1 - same] == tokens[n - 1 - same - period]:
            same += 1
        loop = same + period  # tokens that are in the loop, its first round included
        if loop >= max(min_tokens, MIN_REPEATS * period):
            return n - same
    return None


def truncate_loop(tokens: Sequence[int], text_end: int) -> list[int]:
    """`tokens` without the rounds after the first of a loop that their text ends in.

    Ids from `text_end` on are no text; a timestamp that stood behind the first round stays.
    """
    places = [place for place, token in enumerate(tokens) if token < text_end]
    start = find_loop_start([tokens[place] for place in places])
    if start is None:
        return list(tokens)
    kept = list(tokens[: places[start]])
    # of "... text <end> <start>" the end alone says where the kept text ends
    while len(kept) > 1 and kept[-1] >= text_end and kept[-2] >= text_end:
        kept.pop()
    return kept
