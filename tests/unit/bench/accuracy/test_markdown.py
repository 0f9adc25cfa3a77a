"""The report as Markdown tables."""

from __future__ import annotations

from typing import Any

import pytest

from neuron_whisper.bench.accuracy.markdown import format_markdown, format_summary


def test_the_markdown_has_a_row_for_each_system_and_the_texts_with_errors(report: dict[str, Any]) -> None:
    text = format_markdown(report)
    assert "| neuron-whisper tiny | 33.33 | 1+0+0 / 3 |" in text
    assert "| 0.1000 | 10.0 | 2.25 | 2.92 | 2.98 | 25.0 | 1.5 | 300 | 1/2 / 1/2 | `0123456789abcdef` |" in text
    assert "| openai-whisper tiny | 0.00 | 0+0+0 / 3 | 0.00 | 0.2500 | 4.0 |" in text
    assert "4.0 (1)" in text
    assert "Machine: A <fast> one, 2 cores, 8.0 GiB, avx512_bf16; load 0.25 before it began." in text
    assert "beam_size greedy, temperature 0 0.2." in text
    assert "- not measured: **faster-whisper tiny int8**: not installed here; `pip install it`" in text
    assert "| a\\|b.wav | 10.0 | 1 / 3, 1.50 | 0 / 3, 4.00 |" in text
    assert "- reference: red green blue\n- neuron-whisper tiny: red grin blue\n- openai-whisper tiny: red" in text
    assert "c.wav**" not in text  # nothing was wrong there
    assert format_summary(report).startswith("| system | WER % |")


def test_every_row_of_a_table_has_as_many_cells(report: dict[str, Any]) -> None:
    tables: list[set[int]] = [set()]
    for line in format_markdown(report).splitlines():
        if line.startswith("|"):
            tables[-1].add(line.replace("\\|", "").count("|"))
        elif tables[-1]:
            tables.append(set())
    assert [len(counts) for counts in tables if counts] == [1, 1, 1, 1, 1]


def test_the_header_says_how_systems_were_loaded(report: dict[str, Any]) -> None:
    assert "Medians of 3 runs, systems in turns, 2 threads each" in format_markdown(report)
    report["options"]["one_at_a_time"] = True
    text = format_markdown(report)
    assert "Medians of 3 runs, each loaded when the one before had ended, 2 threads each" in text
    assert "one_at_a_time" not in text


def test_graphs_have_a_table_and_unknown_bytes_a_dash(report: dict[str, Any]) -> None:
    text = format_markdown(report)
    assert "| neuron-whisper tiny | prefill | 4 | 500.00 | 92 |" in text
    assert "| neuron-whisper tiny | decode | 8 | 250.00 | – |" in text
    assert "align" not in text
    for system in report["systems"]:
        system["graphs"] = {}
    assert "## Graphs" not in format_markdown(report)


def test_a_peers_texts_are_compared_with_ours_where_openai_whisper_did_not_run(report: dict[str, Any]) -> None:
    sentence = "- openai-whisper tiny: the text of 1 of 2 clips is neuron-whisper's."
    assert sentence not in format_markdown(report)
    for system in report["systems"]:
        system["as_openai_whisper"] = None
    assert sentence in format_markdown(report)


@pytest.mark.parametrize("where", ["versions", "toolchain"])
def test_times_of_simulated_packages_are_said_to_be_none(where: str, report: dict[str, Any]) -> None:
    assert "simulated" not in format_summary(report)
    place = report["versions"] if where == "versions" else report["systems"][0].setdefault("toolchain", {})
    place["torch-neuronx"] = "2.9.0.2.13+simulated"
    assert "- Neuron packages are simulated: times say nothing of a device." in format_summary(report)


def test_each_language_stands_beside_openai_whispers_with_its_errors_in_words_or_characters(
    report: dict[str, Any],
) -> None:
    for text in (format_markdown(report), format_summary(report)):
        assert "## Beside openai-whisper by language" in text
        assert "| neuron-whisper tiny | en | 1 | 0 | 0 | 1 | 1 | 0 | 3 |" in text
        assert "| neuron-whisper tiny | ja | 1 | 1 | 1 | 0 | 0 | 0 | 4 |" in text
        assert "| openai-whisper tiny | en |" not in text
        assert "Timestamps are among the tokens." in text


def test_nothing_stands_beside_openai_whisper_where_it_did_not_run(report: dict[str, Any]) -> None:
    for system in report["systems"]:
        for found in system["languages"].values():
            found["as_openai_whisper"] = None
    assert "Beside openai-whisper" not in format_markdown(report)
