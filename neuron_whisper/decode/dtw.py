"""Dynamic time warping: finds the cheapest monotonic path through a cost matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# N rows (tokens), M columns (frames). Cells are numbered from 1; row 0 and column 0 are the border.


def dtw(cost: NDArray[np.floating]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Finds the path: its rows and columns from cost[0, 0] to cost[-1, -1], both (length,) and non-decreasing.

    cost (N, M), N and M at least 1. Each step goes one row on, one column on, or both.
    [[0, 9, 9], [9, 0, 0]] -> [0, 1, 1], [0, 1, 2]. The path is openai/whisper timing.py dtw_cpu's to the cell:
    float64 sums, and where the diagonal and the row step are equally cheap, it takes the column step.
    """
    n, m = cost.shape
    assert min(n, m) > 0, "a path needs a cell"
    totals = _accumulate_costs(cost)
    i, j = n, m
    path = [(i, j)]
    while i > 1 or j > 1:
        if i == 1:
            j -= 1
        elif j == 1:
            i -= 1
        else:
            both, row, column = totals[i + j - 2, i - 1], totals[i + j - 1, i - 1], totals[i + j - 1, i]
            if both < row and both < column:
                i, j = i - 1, j - 1
            elif row < both and row < column:
                i -= 1
            else:
                j -= 1
        path.append((i, j))
    rows, columns = np.array(path[::-1], np.intp).T - 1
    return rows, columns


def _accumulate_costs(cost: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sums the cost of the best path to each cell (i, j), at [i + j, i] of (N + M + 1, N + 1).

    A row of the result is an anti-diagonal, whose cells depend on the two before it alone: one numpy step each.
    """
    n, m = cost.shape
    # row d holds the costs of the cells with i + j = d: a line that is one longer than M shears the matrix
    sheared = np.zeros((n, n + m))
    sheared[:, :m] = cost
    sheared = sheared.ravel()[: n * (n + m - 1)].reshape(n, n + m - 1).T.copy()
    totals = np.full((n + m + 1, n + 1), np.inf)
    totals[0, 0] = 0
    for d in range(2, n + m + 1):
        first, last = max(1, d - m), min(n, d - 1) + 1
        both = totals[d - 2, first - 1 : last - 1]
        row = totals[d - 1, first - 1 : last - 1]
        column = totals[d - 1, first:last]
        is_both = both < np.minimum(row, column)
        is_row = row < np.minimum(both, column)
        best = np.where(is_both, both, np.where(is_row, row, column))
        totals[d, first:last] = best + sheared[d - 2, first - 1 : last - 1]
    return totals
