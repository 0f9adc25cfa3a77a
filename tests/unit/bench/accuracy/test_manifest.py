"""Manifests and directories of reference utterances, and what is refused by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuron_whisper.bench.accuracy.manifest import ReferenceUtterance, RowFilter, read_recordings, read_utterances
from neuron_whisper.errors import InvalidOption
from tests.support.manifests import write_speech


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    return write_speech(tmp_path)


def test_a_table_names_files_languages_and_texts(speech: Path) -> None:
    found, n_without_text = read_utterances([speech / "speech.tsv"])
    assert [(it.name, it.language, it.text) for it in found] == [
        ("a.wav", "en", '"Quoted and'),
        ("b.wav", "de", "Zwei"),
    ]
    assert n_without_text == 0


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["speech.tsv", "speech.jsonl"])
def test_a_byte_order_mark_before_a_manifest_is_skipped(speech: Path, name: str, encoding: str) -> None:
    file = speech / name
    plain = read_utterances([file])
    file.write_bytes(file.read_text("utf-8").encode(encoding))
    assert read_utterances([file]) == plain


def test_json_lines_distinguish_silence_from_an_unknown_text(speech: Path) -> None:
    found, n_without_text = read_utterances([speech / "speech.jsonl"])
    assert [(it.name, it.text, it.channel) for it in found] == [("a.wav", "one", 0), ("b.wav", "", None)]
    assert n_without_text == 1


def test_a_directory_has_a_txt_for_each_recording(speech: Path) -> None:
    assert read_utterances([speech], RowFilter(language="English")) == (
        [ReferenceUtterance(path=speech / "a.wav", language="en", text="one")],
        0,
    )
    with pytest.raises(InvalidOption, match="a directory has no language column; give --language"):
        read_utterances([speech])


def test_rows_are_chosen_by_language_column_name_and_number(speech: Path) -> None:
    table, lines = speech / "speech.tsv", speech / "speech.jsonl"
    for row_filter in (
        RowFilter(language="de"),
        RowFilter(where=(("kind", "synthetic"),)),
        RowFilter(skip=("a.*",)),
    ):
        assert [it.name for it in read_utterances([table], row_filter)[0]] == ["b.wav"]
    assert len(read_utterances([table, lines], RowFilter(limit=3))[0]) == 3
    with pytest.raises(InvalidOption, match="at least one selected recording"):
        read_utterances([table], RowFilter(language="ja"))
    with pytest.raises(InvalidOption, match="--where: 'sort' is not allowed; a column of the manifest"):
        read_utterances([table], RowFilter(where=(("sort", "real"),)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.tsv", "file\tlang\na.wav\ten\n", "m.tsv line 1.*a column text or transcript.*its columns: file, lang"),
        ("m.tsv", "transcript\nx\n", "a column path or file"),
        (
            "m.tsv",
            "file\tlang\ttext\na.wav\ten\tx\nno.wav\ten\tx\n",
            "line 3.*an existing file; .*no.wav is none",
        ),
        ("m.tsv", "file\tlang\ttext\na.wav\tklingon\tx\n", "m.tsv line 2.*a known language; 'klingon' is none"),
        ("m.tsv", "file\ttext\na.wav\tx\n", "m.tsv line 2.*a column language or lang or locale, or give --language"),
        ("m.csv", "file,text,lang,channel\na.wav,x,en,left\n", "channel is a number from 0; it is 'left'"),
        ("m.jsonl", '{"path": "a.wav"}\n', "m.jsonl line 1.*a column text"),
        ("m.jsonl", "{\n", "m.jsonl line 1.*a JSON object in each line"),
        ("m.jsonl", "[1]\n", "m.jsonl line 1.*a JSON object in each line"),
        ("m.xlsx", "", "a manifest .*tsv, .csv, .jsonl. or a directory"),
    ],
)
def test_a_wrong_row_is_refused_by_file_and_line(speech: Path, name: str, content: str, message: str) -> None:
    (speech / name).write_text(content)
    with pytest.raises(InvalidOption, match=message):
        read_utterances([speech / name])


def test_every_row_is_a_recording_with_a_text_or_without_one(tmp_path: Path) -> None:
    write_speech(tmp_path)
    table = tmp_path / "all.tsv"
    table.write_text("file\tlang\ttranscript\na.wav\ten\tone\nb.wav\ten+de\t\n")
    found = read_recordings(table, RowFilter())
    assert [(it.file, it.path, it.language, it.text) for it in found] == [
        ("a.wav", tmp_path / "a.wav", "en", "one"),
        ("b.wav", tmp_path / "b.wav", None, None),
    ]
    assert [it.file for it in read_recordings(table, RowFilter(language="en"))] == ["a.wav"]


@pytest.mark.parametrize("rows", ["", "none.wav\ten\tone\n", 2 * "a.wav\ten\tone\n"], ids=["none", "no file", "twice"])
def test_recordings_that_are_not_there_or_stand_twice_are_refused(tmp_path: Path, rows: str) -> None:
    write_speech(tmp_path)
    table = tmp_path / "all.tsv"
    table.write_text(f"file\tlang\ttranscript\n{rows}")
    with pytest.raises(InvalidOption):
        read_recordings(table, RowFilter())
