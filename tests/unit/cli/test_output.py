"""Tables, records and sizes on stdout."""

from __future__ import annotations

from neuron_whisper.cli.output import format_bytes


def test_bytes_are_written_in_decimal_units() -> None:
    assert [format_bytes(n) for n in (0, 999, 1000, 999_949, 999_960, 145_217_607, 5 * 10**15)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "999.9 kB",
        "1.0 MB",
        "145.2 MB",
        "5000.0 TB",
    ]
