"""Prices of instances: what is known, with date and source of each figure, and what a user gives instead."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from neuron_whisper.errors import InvalidOption

ALLOWED_PRICE = "dollars an hour, more than 0"
FILE_LIMIT_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """`basis` is how the instance is bought; `date` of the figure is ISO 8601, empty for a price that a user gives."""

    usd_per_hour: float
    basis: str
    region: str
    date: str
    source: str

    @property
    def description(self) -> str:
        """on-demand, us-east-1, 2026-07-20"""
        return ", ".join(part for part in (self.basis, self.region, self.date) if part)


def make_on_demand_price(usd_per_hour: float) -> Price:
    """AWS's price list of us-east-1 as Karpenter has it; its generated file names the time."""
    return Price(
        usd_per_hour=usd_per_hour,
        basis="on-demand",
        region="us-east-1",
        date="2026-07-20",
        source="AWS price list in aws/karpenter-provider-aws@6fc13b5:pkg/providers/pricing/zz_generated.pricing_aws.go",
    )


# AWS's price list has no on-demand record of it. Bought: 24 hours, the shortest block, for 53.64 dollars.
TRN2_3XLARGE = Price(
    usd_per_hour=2.235,
    basis="capacity block of 24 h",
    region="sa-east-1",
    date="2026-08-04",
    source="alpharomercoma/torchneuronx@d40da72:docs/runbook/12-trainium2.md",
)


def make_given_price(usd_per_hour: object, *, field: str, source: str) -> Price:
    """A price that a user gives. Raises InvalidOption about `field` unless it is a number above 0."""
    if isinstance(usd_per_hour, bool) or not isinstance(usd_per_hour, int | float) or not 0 < usd_per_hour < math.inf:
        raise InvalidOption(field, usd_per_hour, ALLOWED_PRICE)
    return Price(usd_per_hour=float(usd_per_hour), basis="given", region="", date="", source=source)


def parse_hourly(texts: Iterable[str]) -> dict[str, Price]:
    """["inf2.xlarge=0.35"] -> prices by instance type. Raises InvalidOption."""
    prices: dict[str, Price] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        if not equals or not name:
            raise InvalidOption("hourly", text, "TYPE=USD, such as inf2.xlarge=0.35")
        try:
            usd_per_hour = float(number)
        except ValueError:
            raise InvalidOption("hourly", text, f"TYPE=USD, USD {ALLOWED_PRICE}") from None
        prices[name] = make_given_price(usd_per_hour, field="hourly", source="--hourly")
    return prices


def load_prices(path: Path) -> dict[str, Price]:
    """Prices by instance type from a TOML file of lines such as `"inf2.xlarge" = 0.35`. Raises InvalidOption."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT_BYTES + 1)
        if len(data) > FILE_LIMIT_BYTES:
            raise InvalidOption("price", str(path), f"a file of at most {FILE_LIMIT_BYTES} bytes")
        table: Mapping[str, object] = tomllib.loads(data.decode("utf-8"))
        if tables := [name for name, value in table.items() if isinstance(value, dict)]:
            raise ValueError(f"{tables[0]} is a table: put the instance's name in quotes")
    except OSError as error:
        raise InvalidOption("price", str(path), f"a file that can be read ({error.strerror or error})") from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise InvalidOption("price", str(path), f'TOML of lines such as "inf2.xlarge" = 0.35 ({error})') from None
    return {name: make_given_price(value, field=f"price: {name}", source=str(path)) for name, value in table.items()}
