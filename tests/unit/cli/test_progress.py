"""Progress as lines of a log."""

from __future__ import annotations

from neuron_whisper.cli.progress import PlainProgress


def test_progress_without_a_terminal_is_a_line_for_each_step_and_each_quarter_of_bytes() -> None:
    lines: list[str] = []
    steps = PlainProgress("steps", lines.append)
    for done, what in enumerate(("encode", "decode")):
        steps(what, done, 2)
    downloaded = PlainProgress("bytes", lines.append)
    for percent in range(101):
        downloaded("base", percent * 1000, 100_000)
    assert lines == [
        "encode (0 of 2 done)",
        "decode (1 of 2 done)",
        "base: 0 B of 100.0 kB",
        "base: 25.0 kB of 100.0 kB",
        "base: 50.0 kB of 100.0 kB",
        "base: 75.0 kB of 100.0 kB",
        "base: 100.0 kB of 100.0 kB",
    ]
