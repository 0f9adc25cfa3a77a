"""Dynamic time warping against openai-whisper's."""

from __future__ import annotations

import time

import numpy as np
import whisper
import whisper.timing
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from neuron_whisper.decode.dtw import dtw


@settings(deadline=None)  # the first call compiles openai-whisper's
@given(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(-2, 2))
    | arrays.arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 30)), elements=st.floats(-4, 4, width=32))
)
def test_the_path_is_openais_on_ties_too(cost: NDArray[np.float64]) -> None:
    rows, columns = dtw(cost)
    expected = whisper.timing.dtw_cpu(cost)
    np.testing.assert_array_equal((rows, columns), expected)


def test_a_whole_window_is_openais_path_and_found_in_time() -> None:
    cost = np.random.default_rng(0).standard_normal((225, 1500))
    expected = whisper.timing.dtw_cpu(cost)
    took_s = []
    for _ in range(5):
        begin = time.thread_time()
        found = dtw(cost)
        took_s.append(time.thread_time() - begin)
    np.testing.assert_array_equal(found, expected)
    assert min(took_s) < 0.2, "about 20 ms on an idle core"
