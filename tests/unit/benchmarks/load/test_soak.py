"""Growth of memory and changed texts in a soak."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.load.soak import SoakResult


def soak_result(sizes: list[int], **more: Any) -> SoakResult:
    return SoakResult(memory=[(float(n), size) for n, size in enumerate(sizes)], seconds=float(len(sizes)), **more)


def test_memory_that_rises_in_the_warm_up_alone_is_flat() -> None:
    result = soak_result([100, 500, 900, *[1000] * 26, 1040])
    assert result.growth == 0.0
    assert result.passed


def test_memory_that_goes_on_rising_fails_with_its_growth() -> None:
    result = soak_result([1000 + 10 * n for n in range(30)])
    assert result.growth == pytest.approx(180 / 1070, rel=0.05)
    assert not result.passed
    assert not SoakResult().passed  # nothing was measured


def test_a_text_that_changes_between_rounds_is_an_error() -> None:
    result = soak_result([1000] * 30)
    result.add_texts(["a", "b"], ["one", "two"])
    result.add_texts(["a", "b"], ["one", "too"])
    assert result.changed_clips == ["b"]
    assert not result.passed
    assert result.summarize()["changed"] == ["b"]
