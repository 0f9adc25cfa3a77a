"""The page's exports are compared with what the API gives now."""

from __future__ import annotations

from tests.support.browser_fixtures import FIXTURES, make_fixtures


def test_the_responses_that_the_page_is_compared_with_are_those_of_the_api() -> None:
    assert FIXTURES.read_text(encoding="utf-8") == make_fixtures(), "python -m tests.support.browser_fixtures"
