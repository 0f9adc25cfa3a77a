"""Texts of two installations: what changed, the error rates of both, and the file between them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.checks.texts import (
    RecordedText,
    TextFile,
    compare_texts,
    format_comparison,
    format_rates,
    read_texts,
    score_text,
    write_texts,
)
from neuron_whisper.bench.accuracy.manifest import Recording
from neuron_whisper.errors import InvalidOption

RECORDINGS = {
    it.file: it
    for it in (
        Recording(file="a.wav", path=Path("a.wav"), language="en", text="Cats see old dogs."),
        Recording(file="b.wav", path=Path("b.wav"), language="ja", text="東京です。"),
        Recording(file="c.wav", path=Path("c.wav"), language=None, text=None),
    )
}


def text(heard: str, *, file: str = "a.wav", **fields: object) -> RecordedText:
    made = RecordedText(model="tiny", file=file, long_form="sequential", word_timestamps=False, text=heard)
    return score_text(replace(made, **fields), RECORDINGS)  # type: ignore[arg-type]


def file_of(*texts: RecordedText) -> TextFile:
    return TextFile(version="1", profile="cpu", texts=texts)


def test_errors_are_words_of_a_text_and_characters_where_words_are_not_written() -> None:
    english, japanese = text("Cats, sea, old!"), text("東京で", file="b.wav")
    assert (english.errors, english.reference_units) == (2, 4)
    assert (japanese.errors, japanese.reference_units) == (1, 4)


def test_a_recording_without_a_reference_has_a_text_and_no_errors() -> None:
    made = text("Cats", file="c.wav")
    assert (made.text, made.counts) == ("Cats", None)


def test_a_refused_recording_is_an_empty_text_to_the_error_rate() -> None:
    made = text("", error="AudioUnreadable: no audio")
    assert (made.errors, made.reference_units) == (4, 4)


def test_texts_are_compared_by_model_file_long_form_and_word_times() -> None:
    plain = text("Cats")
    before = file_of(plain, replace(plain, word_timestamps=True, text="Dogs"), replace(plain, long_form="batched"))
    after = file_of(plain, replace(plain, word_timestamps=True, text="Frogs"), replace(plain, model="base"))
    made = compare_texts(before, after)
    assert [(one.text, other.text) for one, other in made.pairs] == [("Cats", "Cats"), ("Dogs", "Frogs")]
    assert [(one.text, other.text) for one, other in made.changed] == [("Dogs", "Frogs")]
    assert (made.only_before, made.only_after) == (1, 1)


@pytest.mark.parametrize(
    ("fields", "changed", "times", "warnings"),
    [
        ({}, 0, 0, 0),
        ({"text": "cats"}, 1, 0, 0),  # a letter's case, too, is a change
        ({"error": "DeviceError: x"}, 1, 0, 0),
        ({"segments": ((0.0, 1.5),)}, 0, 1, 0),
        ({"text": "cats", "segments": ((0.0, 1.5),)}, 1, 0, 0),
        ({"warnings": ("speech gave no text",)}, 0, 0, 1),
    ],
    ids=str,
)
def test_text_times_and_warnings_count_as_changes_of_their_own(
    fields: dict[str, object], changed: int, times: int, warnings: int
) -> None:
    before = text("Cats", segments=((0.0, 1.0),))
    made = compare_texts(file_of(before), file_of(replace(before, **fields)))  # type: ignore[arg-type]
    assert (len(made.changed), made.n_times_changed, len(made.warnings_changed)) == (changed, times, warnings)


def test_files_without_a_text_in_common_are_refused() -> None:
    with pytest.raises(InvalidOption) as caught:
        compare_texts(file_of(text("Cats")), file_of(text("Cats", model="base")))
    assert caught.value.field == "--before"


def test_rates_are_by_setting_and_language_and_the_total_is_of_words() -> None:
    before = [text("Cats see old dogs"), text("東京です", file="b.wav"), text("any", file="c.wav")]
    after = [text("Cats see old"), text("東京で", file="b.wav"), text("any", file="c.wav")]
    assert format_rates(zip(before, after, strict=True)).splitlines() == [
        "| model | setting | WER % | en | CER % ja |",
        "| --- | --- | ---: | ---: | ---: |",
        "| tiny | sequential | 0.00 -> 25.00 | 0.00 -> 25.00 | 0.00 -> 25.00 |",
    ]
    assert format_rates((None, it) for it in after).splitlines()[-1] == (
        "| tiny | sequential | 25.00 | 25.00 | 25.00 |"
    )


def test_a_report_lists_each_changed_text_with_the_errors_of_both() -> None:
    lines = format_comparison(
        compare_texts(
            file_of(text("Cats see"), text("東京です", file="b.wav"), text("any", file="c.wav")),
            file_of(text("Cats see old dogs"), text("東京です", file="b.wav"), text("other", file="c.wav")),
        )
    ).splitlines()
    assert lines[0].startswith("3 texts compared: 1 equal, 2 changed.")
    assert lines[2:5] == ["tiny a.wav, sequential: 2 of 4 wrong -> 0 of 4 wrong", "- Cats see", "+ Cats see old dogs"]
    assert lines[6:9] == ["tiny c.wav, sequential: no reference -> no reference", "- any", "+ other"]


def test_texts_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = file_of(
        text("東京です", file="b.wav", segments=((0.0, 1.5), (1.5, 2.0)), warnings=("damaged",)),
        text("", file="c.wav", error="AudioUnreadable: no audio", skipped=((0.0, 1.0, "vad"),)),
    )
    write_texts(tmp_path / "kept" / "texts.json", written)
    assert read_texts(tmp_path / "kept" / "texts.json") == written
    write_texts(tmp_path / "none.json", file_of())
    assert read_texts(tmp_path / "none.json") == file_of()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"version": "1", "profile": "cpu", "texts": [{"name": "a"}]}', "\xff"], ids=repr
)
def test_another_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(InvalidOption) as caught:
        read_texts(path)
    assert (caught.value.field, caught.value.value) == ("--before", str(path))
