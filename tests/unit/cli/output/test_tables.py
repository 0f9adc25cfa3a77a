"""Tables, records and sizes on stdout."""

from __future__ import annotations

import pytest

from neuron_whisper.cli.output.tables import echo_json, echo_record, echo_table, format_bytes, format_program


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


def test_a_table_in_a_pipe_has_aligned_columns_also_of_wide_characters(capsys: pytest.CaptureFixture[str]) -> None:
    echo_table(("NAME", "SIZE"), [("東京", 1), ("a", "22")])
    assert capsys.readouterr().out == "NAME  SIZE\n東京  1\na     22\n"


def test_a_record_has_aligned_values(capsys: pytest.CaptureFixture[str]) -> None:
    echo_record([("name", "x"), ("toolchain", ""), ("n", 3)])
    assert capsys.readouterr().out == "name       x\ntoolchain\nn          3\n"


def test_json_is_indented_and_not_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    echo_json({"text": "東京"})
    assert capsys.readouterr().out == '{\n  "text": "東京"\n}\n'


def test_a_program_is_one_line() -> None:
    sizes = {"slots": 2, "beams": 1, "encode_batch": 1, "prompt_buckets": [4, 8], "text_context": 24}
    line = "slots 2, beams 1, encode batch 1, prompt buckets 4, 8, text context 24"
    assert format_program(sizes) == line
