"""Loops: a model that says the same again and again, and where it began to."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_PERIOD = 64  # tokens; a sentence that comes again
FEWEST_REPEATS = 4
SHORTEST_LOOP = 24  # tokens; "no, no, no, no" may have been said


def loop_start(tokens: Sequence[int], *, shortest: int = SHORTEST_LOOP) -> int | None:
    """Where the second round of a loop at the end of `tokens` begins; None when they do not end in one.

    loop_start([9, 1, 2, 1, 2, 1, 2, 1, 2], shortest=8) -> 3
    """
    n = len(tokens)
    for period in range(1, min(LONGEST_PERIOD, n // FEWEST_REPEATS) + 1):
        if tokens[n - 1] != tokens[n - 1 - period]:  # most periods end here
            continue
        same = 1
        while same < n - period and tokens[n - 1 - same] == tokens[n - 1 - same - period]:
            same += 1
        loop = same + period  # tokens that are in the loop, its first round included
        if loop >= max(shortest, FEWEST_REPEATS * period):
            return n - same
    return None


def cut_loop(tokens: Sequence[int], text_end: int) -> list[int]:
    """`tokens` without the rounds after the first of a loop that their text ends in.

    Ids from `text_end` on are no text; a timestamp that stood behind the first round stays.
    """
    places = [place for place, token in enumerate(tokens) if token < text_end]
    start = loop_start([tokens[place] for place in places])
    if start is None:
        return list(tokens)
    kept = list(tokens[: places[start]])
    # of "... text <end> <start>" the end alone says where the kept text ends
    while len(kept) > 1 and kept[-1] >= text_end and kept[-2] >= text_end:
        kept.pop()
    return kept
