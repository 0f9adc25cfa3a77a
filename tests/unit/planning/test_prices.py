"""Prices that a user gives: by flags and by a file, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.planning.prices import (
    TRN2_3XLARGE,
    Price,
    load_prices,
    make_on_demand_price,
    parse_hourly,
)


def test_a_known_price_says_how_where_and_when() -> None:
    assert make_on_demand_price(0.5).description == "on-demand, us-east-1, 2026-07-20"
    assert TRN2_3XLARGE.description == "capacity block of 24 h, sa-east-1, 2026-08-04"
    assert TRN2_3XLARGE.usd_per_hour == pytest.approx(53.64 / 24)


def test_prices_of_flags_are_those_of_their_types_and_the_last_of_a_type_holds() -> None:
    prices = parse_hourly(["inf2.xlarge=0.35", "trn1.2xlarge=1", "inf2.xlarge=.2"])
    assert {name: price.usd_per_hour for name, price in prices.items()} == {"inf2.xlarge": 0.2, "trn1.2xlarge": 1.0}
    assert prices["inf2.xlarge"] == Price(usd_per_hour=0.2, basis="given", region="", date="", source="--hourly")
    assert prices["inf2.xlarge"].description == "given"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0.35",
        "=0.35",
        "inf2.xlarge",
        "inf2.xlarge=",
        "inf2.xlarge=0",
        "inf2.xlarge=-1",
        "a=nan",
        "a=inf",
        "a=1e999",
    ],
)
def test_a_price_that_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        parse_hourly([text])
    assert refused.value.field == "hourly"


def test_a_file_has_a_price_on_each_line(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('# reserved for three years\n"inf2.xlarge" = 0.328\n"trn1.32xlarge" = 8\n', encoding="utf-8")
    prices = load_prices(path)
    assert {name: price.usd_per_hour for name, price in prices.items()} == {"inf2.xlarge": 0.328, "trn1.32xlarge": 8}
    assert {price.source for price in prices.values()} == {str(path)}


@pytest.mark.parametrize(
    "content",
    [
        b"inf2.xlarge",
        b"\xff\xfe",
        b'"inf2.xlarge" = "0.35"',
        b'"inf2.xlarge" = true',
        b'"inf2.xlarge" = 0',
        b'"inf2.xlarge" = nan',
        b"inf2.xlarge = 0.35",  # a table inf2 with a key xlarge
        b"#" * 70_000,
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "prices.toml"
    path.write_bytes(content)
    with pytest.raises(InvalidOption, match=r"^price"):
        load_prices(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(InvalidOption, match=r"^price: .* a file that can be read"):
            load_prices(path)


def test_a_name_that_misses_its_quotes_is_named(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text("inf2.xlarge = 0.35", encoding="utf-8")
    with pytest.raises(InvalidOption, match="inf2 is a table: put the instance's name in quotes"):
        load_prices(path)
