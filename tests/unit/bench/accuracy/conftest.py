"""A report of two clips and four systems."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.bench_reports import build_small_report


@pytest.fixture
def report() -> dict[str, Any]:
    return build_small_report()
