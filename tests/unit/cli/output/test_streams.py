"""JSON on streams that carry few characters; the streams of a process are in integration/test_terminals.py."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.cli.json_formatter import JsonStderr
from neuron_whisper.cli.output.streams import escape_json


def make_stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")


@given(st.text(), st.sampled_from(["ascii", "cp1252", "latin-1", "shift_jis", "utf-8"]))
def test_json_has_the_same_value_in_every_encoding(text: str, encoding: str) -> None:
    stream = make_stream(encoding)
    escaped = escape_json(json.dumps({"text": text}, ensure_ascii=False), stream)
    assert json.loads(escaped.encode(encoding).decode(encoding)) == {"text": text}


@pytest.mark.parametrize(
    ("text", "encoding"), [("¥100", "shift_jis"), ("~‾", "shift_jis"), ("¥", "euc_jp"), ("£ 5", "cp932")]
)
def test_a_character_that_an_encoding_writes_as_another_is_escaped(text: str, encoding: str) -> None:
    escaped = escape_json(json.dumps({"text": text}, ensure_ascii=False), make_stream(encoding))
    assert json.loads(escaped.encode(encoding).decode(encoding)) == {"text": text}


@pytest.mark.parametrize(("encoding", "written"), [("utf-8", '"日"'), ("ascii", '"\\u65e5"'), ("cp1252", '"\\u65e5"')])
def test_characters_are_escaped_only_where_the_stream_lacks_them(encoding: str, written: str) -> None:
    assert escape_json('"日"', make_stream(encoding)) == written


def test_a_log_line_is_json_also_on_a_stream_of_ascii() -> None:
    stream = make_stream("ascii")
    JsonStderr(stream).write("error: 日本🎙.wav: no audio\n")
    stream.flush()
    assert json.loads(stream.buffer.getvalue())["event"] == "日本🎙.wav: no audio"  # type: ignore[attr-defined]
