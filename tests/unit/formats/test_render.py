"""A transcript in every format, byte for byte where a format has readers."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.errors import InvalidOption
from neuron_whisper.formats.render import (
    FORMATS,
    SubtitleOptions,
    format_timestamp,
    parse_format,
    render,
    render_text,
    to_milliseconds,
    write_files,
)
from neuron_whisper.text.languages import LANGUAGES
from neuron_whisper.transcript import Segment, Word
from tests.support.transcripts import QUOTE, TWO_SEGMENTS, make_segment, make_segment_of_words, make_transcript

TIMES = [
    (0.0, "00:00:00,000", "00:00.000", 0),
    (1.001, "00:00:01,001", "00:01.001", 1001),
    (0.0004, "00:00:00,000", "00:00.000", 0),
    (0.0006, "00:00:00,001", "00:00.001", 1),
    (59.9996, "00:01:00,000", "01:00.000", 60_000),
    (3599.9994, "00:59:59,999", "59:59.999", 3_599_999),
    (3661.5, "01:01:01,500", "01:01:01.500", 3_661_500),
    (360_000.0, "100:00:00,000", "100:00:00.000", 360_000_000),
    (-0.02, "00:00:00,000", "00:00.000", 0),
]


@pytest.mark.parametrize(("seconds", "srt", "vtt", "ms"), TIMES)
def test_a_time_is_rounded_once(seconds: float, srt: str, vtt: str, ms: int) -> None:
    assert to_milliseconds(seconds) == ms
    assert format_timestamp(ms, ",", hours=True) == srt
    assert format_timestamp(ms, ".", hours=False) == vtt


def test_txt_is_a_line_per_segment() -> None:
    assert render(TWO_SEGMENTS, "txt") == "And so,\nmy fellow --> friends.\n"
    assert render(TWO_SEGMENTS, "text") == render(TWO_SEGMENTS, "txt")


def test_plain_text_is_one_line() -> None:
    assert render_text(TWO_SEGMENTS) == "And so, my fellow --> friends."
    assert render_text(make_transcript(make_segment(0, 1, " a\n"), make_segment(1, 2, "b"))) == "a b"


def test_srt_is_numbered_and_has_hours_and_commas() -> None:
    assert render(TWO_SEGMENTS, "srt") == (
        "1\n00:00:00,000 --> 00:00:01,001\nAnd so,\n\n2\n00:00:01,001 --> 01:01:01,500\nmy fellow -> friends.\n\n"
    )


def test_vtt_has_hours_where_there_are_any() -> None:
    assert render(TWO_SEGMENTS, "vtt") == (
        "WEBVTT\n\n00:00.000 --> 00:01.001\nAnd so,\n\n00:01.001 --> 01:01:01.500\nmy fellow --&gt; friends.\n\n"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a --> b", "a -> b"), ("---->", "->"), ("--->-->", "->->"), ("a -> b --", "a -> b --")],
)
def test_no_arrow_of_times_is_left_in_a_cue(text: str, shown: str) -> None:
    transcript = make_transcript(make_segment(0, 1, text))
    assert render(transcript, "srt") == f"1\n00:00:00,000 --> 00:00:01,000\n{shown}\n\n"
    assert "-->" not in render(transcript, "vtt").replace(" --> ", "", 1)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("AT&T", "AT&amp;T"),
        ("x < y > z", "x &lt; y &gt; z"),
        ("<i>&lt;", "&lt;i&gt;&amp;lt;"),
        ("<c.red>", "&lt;c.red&gt;"),
        ("a --> b", "a --&gt; b"),
    ],
)
def test_vtt_escapes_what_begins_a_tag_or_a_reference_and_srt_writes_it_as_it_is(text: str, shown: str) -> None:
    for segment in (make_segment(0, 1, text), make_segment_of_words(f" {text}")):
        transcript = make_transcript(segment)
        assert render(transcript, "vtt").split("\n")[3] == shown
    assert render(make_transcript(make_segment(0, 1, "AT&T <x>")), "srt").split("\n")[2] == "AT&T <x>"


def test_vtt_escapes_words_and_not_the_tags_that_underline_them() -> None:
    transcript = make_transcript(make_segment_of_words(" R&D", " <3"))
    shown = render(transcript, "vtt", SubtitleOptions(highlight_words=True)).split("\n")
    assert (shown[3], shown[9]) == ("<u>R&amp;D</u> &lt;3", "R&amp;D <u>&lt;3</u>")


def test_the_width_of_a_line_counts_characters_before_they_are_escaped() -> None:
    transcript = make_transcript(make_segment_of_words(" &&&&", " b"))
    assert render(transcript, "vtt", SubtitleOptions(max_line_width=6)).split("\n")[3] == "&amp;&amp;&amp;&amp; b"


def test_tsv_is_whole_milliseconds_under_a_header() -> None:
    assert render(TWO_SEGMENTS, "tsv") == (
        "start\tend\ttext\n0\t1001\tAnd so,\n1001\t3661500\tmy fellow --> friends.\n"
    )
    assert render(make_transcript(make_segment(0, 1, " a\tb\tc")), "tsv").splitlines()[1] == "0\t1000\ta b c"


def test_json_is_the_text_and_nothing_else() -> None:
    transcript = make_transcript(make_segment(0, 1, ' 日本 "x"'), language="ja")
    assert render(transcript, "json") == '{"text":"日本 \\"x\\""}'


def test_verbose_json_has_openais_fields() -> None:
    assert json.loads(render(TWO_SEGMENTS, "verbose_json")) == {
        "task": "transcribe",
        "language": "english",
        "duration": 11.0,
        "text": "And so, my fellow --> friends.",
        "segments": [
            {
                "id": 0,
                "seek": 0,
                "start": 0.0,
                "end": 1.001,
                "text": " And so,",
                "tokens": [50364, 1029, 50514],
                "temperature": 0.0,
                "avg_logprob": -0.25,
                "compression_ratio": 1.5,
                "no_speech_prob": 0.01,
            },
            {
                "id": 1,
                "seek": 0,
                "start": 1.001,
                "end": 3661.5,
                "text": " my fellow --> friends.",
                "tokens": [50364, 1029, 50514],
                "temperature": 0.0,
                "avg_logprob": -0.25,
                "compression_ratio": 1.5,
                "no_speech_prob": 0.01,
            },
        ],
    }


def test_verbose_json_has_words_when_segments_have_them() -> None:
    word = Word(start_s=0.1234, end_s=0.5678, text=" And", probability=0.9)
    found = json.loads(render(make_transcript(make_segment(0, 1, " And", words=(word,))), "verbose_json"))
    assert found["words"] == [{"word": "And", "start": 0.123, "end": 0.568, "probability": 0.9}]


@pytest.mark.parametrize("fmt", ["json", "verbose_json"])
@pytest.mark.parametrize("codes", [("en", "de"), ("yue", "ja", "en"), ("en",)])
def test_each_segment_of_a_json_document_has_the_language_that_is_spoken_there(
    fmt: str, codes: tuple[str, ...], tmp_path: Path
) -> None:
    segments = (replace(make_segment(n, n + 1, " x", n), language=code) for n, code in enumerate(codes))
    transcript = make_transcript(*segments, language=codes[0])
    (path,) = write_files(transcript, tmp_path, "a", [fmt])
    found = json.loads(path.read_text())
    names = codes if fmt == "json" else tuple(LANGUAGES[code] for code in codes)
    assert (found["language"], *(it["language"] for it in found["segments"])) == (names[0], *names)
    assert "source_language" not in found


def test_a_translation_is_english_and_names_the_language_it_is_from(tmp_path: Path) -> None:
    segments = (replace(make_segment(n, n + 1, " x", n), language=code) for n, code in enumerate(("de", "fr")))
    transcript = replace(make_transcript(*segments, language="de"), task="translate")
    found = json.loads(render(transcript, "verbose_json"))
    assert [(it["language"], it["source_language"]) for it in (found, *found["segments"])] == [
        ("english", "german"),
        ("english", "german"),
        ("english", "french"),
    ]
    (path,) = write_files(transcript, tmp_path, "a", ["json"])  # as openai-whisper, whose result has what is spoken
    assert [it["language"] for it in json.loads(path.read_text())["segments"]] == ["de", "fr"]


@pytest.mark.parametrize("warnings", [("cut short",), ("no speech was found", "two tracks")])
def test_warnings_are_part_of_verbose_json_where_there_are_any(warnings: tuple[str, ...]) -> None:
    assert json.loads(render(replace(TWO_SEGMENTS, warnings=warnings), "verbose_json"))["warnings"] == list(warnings)
    assert "warnings" not in json.loads(render(TWO_SEGMENTS, "verbose_json"))


def test_seek_counts_frames_of_ten_milliseconds() -> None:
    late = Segment(
        id=4,
        seek_s=28.96,
        start_s=29.0,
        end_s=30.0,
        text=" x",
        tokens=(),
        temperature=0.2,
        avg_logprob=-1.0,
        compression_ratio=0.5,
        no_speech_prob=0.5,
    )
    assert json.loads(render(make_transcript(late), "verbose_json"))["segments"][0]["seek"] == 2896


def test_verbose_json_is_what_openais_client_reads() -> None:
    audio = pytest.importorskip(
        "openai.types.audio", reason="openai is not installed: that its client reads JSON is not proved"
    )
    word = Word(start_s=0.0, end_s=1.0, text=" ハロー", probability=0.5)
    transcript = make_transcript(make_segment(0.0, 1.5, " ハロー", words=(word,)), language="ja")
    read = audio.TranscriptionVerbose.model_validate_json(render(transcript, "verbose_json"), strict=True)
    assert (read.language, read.duration, read.text) == ("japanese", 11.0, "ハロー")
    assert read.segments[0].end == 1.5
    assert read.words[0].word == "ハロー"
    assert audio.Transcription.model_validate_json(render(transcript, "json")).text == "ハロー"


def test_nan_is_no_json() -> None:
    odd = Segment(
        id=0,
        seek_s=0,
        start_s=0,
        end_s=1,
        text="x",
        tokens=(),
        temperature=0,
        avg_logprob=float("nan"),
        compression_ratio=1,
        no_speech_prob=0,
    )
    with pytest.raises(ValueError, match="JSON"):
        render(make_transcript(odd), "verbose_json")


@pytest.mark.parametrize("fmt", ["", "TXT", "xml", "diarized_json"])
def test_another_format_is_refused_by_the_name_the_caller_gives_it(fmt: str) -> None:
    with pytest.raises(InvalidOption, match="txt, json, verbose_json, srt, vtt, tsv") as caught:
        parse_format(fmt, "response_format")
    assert caught.value.field == "response_format"
    with pytest.raises(InvalidOption):
        render(TWO_SEGMENTS, fmt)


def test_segments_without_text_are_left_out_of_lines_and_counted_in_json() -> None:
    transcript = make_transcript(make_segment(0, 1, ""), make_segment(1, 2, "  \n "), make_segment(2, 3, " x"))
    assert render(transcript, "txt") == "x\n"
    assert render(transcript, "srt") == "1\n00:00:02,000 --> 00:00:03,000\nx\n\n"
    assert render(transcript, "tsv") == "start\tend\ttext\n2000\t3000\tx\n"
    assert len(json.loads(render(transcript, "verbose_json"))["segments"]) == 3


def test_silence_renders_in_every_format() -> None:
    silence = make_transcript()
    assert [render(silence, fmt) for fmt in ("txt", "json", "srt", "vtt", "tsv")] == [
        "",
        '{"text":""}',
        "",
        "WEBVTT\n\n",
        "start\tend\ttext\n",
    ]


SEGMENTS = st.lists(
    st.builds(
        make_segment,
        st.floats(0, 90_000),
        st.floats(0, 90_000),
        st.text(st.sampled_from("a-> \n\r\t\u2028日<&")) | st.text(st.characters(exclude_categories=["Cs"])),
    ),
    max_size=5,
)


@given(SEGMENTS)
def test_a_subtitle_file_reads_back_as_its_segments(segments: list[Segment]) -> None:
    spoken = [s for s in segments if s.text.strip() and " ".join(s.text.splitlines()).strip()]
    blocks = render(make_transcript(*segments), "srt").split("\n\n")
    assert blocks.pop() == ""
    assert len(blocks) == len(spoken)
    for n, (block, segment) in enumerate(zip(blocks, spoken, strict=True), start=1):
        number, times, text = block.split("\n")
        assert number == str(n)
        assert "-->" not in text
        for time, seconds in zip(times.split(" --> "), (segment.start_s, segment.end_s), strict=True):
            h, m, s = time.replace(",", "").split(":")
            assert int(h) * 3_600_000 + int(m) * 60_000 + int(s) == to_milliseconds(seconds)


@given(SEGMENTS)
def test_a_table_has_three_cells_in_every_row(segments: list[Segment]) -> None:
    rows = render(make_transcript(*segments), "tsv").split("\n")
    assert rows.pop() == ""
    assert {len(row.split("\t")) for row in rows} == {3}


@given(st.floats(-1, 1e6), st.floats(-1, 1e6))
def test_rounding_never_changes_the_order_of_times(one: float, other: float) -> None:
    early, late = sorted((one, other))
    assert to_milliseconds(early) <= to_milliseconds(late)
    assert format_timestamp(to_milliseconds(early), ",", hours=True).zfill(20) <= format_timestamp(
        to_milliseconds(late), ",", hours=True
    ).zfill(20)


@given(SEGMENTS)
def test_verbose_json_reads_back_to_the_millisecond(segments: list[Segment]) -> None:
    found = json.loads(render(make_transcript(*segments), "verbose_json"))["segments"]
    assert [(s["start"], s["end"], s["text"], s["tokens"]) for s in found] == [
        (to_milliseconds(s.start_s) / 1000, to_milliseconds(s.end_s) / 1000, s.text, list(s.tokens)) for s in segments
    ]


@pytest.mark.parametrize("fmt", ["txt", "srt", "vtt", "tsv"])
def test_files_are_openai_whispers(fmt: str, tmp_path: Path) -> None:
    utils: Any = pytest.importorskip(
        "whisper.utils", reason="openai-whisper is not installed: that files equal its files is not proved"
    )
    file = io.StringIO()
    theirs = {"segments": [{"start": s.start_s, "end": s.end_s, "text": s.text} for s in TWO_SEGMENTS.segments]}
    utils.get_writer(fmt, str(tmp_path)).write_result(theirs, file=file)
    assert render(TWO_SEGMENTS, fmt).replace("--&gt;", "->") == file.getvalue()  # it shortens arrows in WebVTT too


# --- subtitles laid out by words ------------------------------------------------------------------


def test_other_formats_ignore_subtitle_options(tmp_path: Path) -> None:
    options = SubtitleOptions(max_words_per_line=1)
    assert render(TWO_SEGMENTS, "txt", options) == render(TWO_SEGMENTS, "txt")
    [path] = write_files(QUOTE, tmp_path, "ask", ["srt"], options)
    assert path.read_text() == render(QUOTE, "srt", options)


# --- files ----------------------------------------------------------------------------------------


def test_a_file_is_written_for_each_format_and_nothing_else_is_left(tmp_path: Path) -> None:
    into = tmp_path / "new" / "out"
    formats = [fmt for fmt in FORMATS if fmt != "json"]
    paths = write_files(TWO_SEGMENTS, into, "talk.v2", formats)
    assert [path.name for path in paths] == [
        "talk.v2.txt",
        "talk.v2.json",
        "talk.v2.srt",
        "talk.v2.vtt",
        "talk.v2.tsv",
    ]
    assert sorted(into.iterdir()) == sorted(paths)
    for path, fmt in zip(paths, formats, strict=True):
        assert path.read_bytes().decode().removesuffix("\n") == render(TWO_SEGMENTS, fmt).removesuffix("\n")
        assert path.read_bytes().endswith(b"\n")


def test_a_json_file_is_whispers_result_with_segments_and_words(tmp_path: Path) -> None:
    [path] = write_files(QUOTE, tmp_path, "ask", ["json"])
    document = json.loads(path.read_text())
    assert (path.name, list(document)) == ("ask.json", ["text", "segments", "language"])
    segment = document["segments"][0]
    assert (segment["text"], segment["start"], segment["end"]) == (" Ask not what your country", 0.0, 2.4)
    assert segment["words"][0].keys() == {"word", "start", "end", "probability"}
    assert segment["words"][0]["word"] == " Ask"


def test_both_json_formats_at_once_are_refused_before_a_file_is_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption) as refused:
        write_files(TWO_SEGMENTS, tmp_path / "out", "a", ["json", "verbose_json"])
    assert refused.value.field == "format"
    assert not (tmp_path / "out").exists()


def test_text_and_txt_are_one_file(tmp_path: Path) -> None:
    assert [path.name for path in write_files(TWO_SEGMENTS, tmp_path, "a", ["text", "txt", "txt"])] == ["a.txt"]


def test_a_file_that_is_there_is_replaced_and_readable_as_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("old")
    (tmp_path / "other").touch()
    [path] = write_files(TWO_SEGMENTS, tmp_path, "a", ["srt"])
    assert path.read_text().startswith("1\n")
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_wrong_format_writes_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption):
        write_files(TWO_SEGMENTS, tmp_path / "out", "a", ["srt", "xml"])
    assert not (tmp_path / "out").exists()


def test_a_write_that_fails_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.srt").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_files(TWO_SEGMENTS, tmp_path, "a", ["srt"])
    assert list(tmp_path.iterdir()) == [tmp_path / "a.srt"]


@pytest.mark.parametrize("stem", ["", ".", "..", "a/b", "../a", "a\\b", "a\0"])
def test_a_stem_with_a_directory_in_it_is_refused(stem: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="stem"):
        write_files(TWO_SEGMENTS, tmp_path, stem, ["txt"])


def test_a_stem_may_be_as_long_as_a_name_can_be(tmp_path: Path) -> None:
    [path] = write_files(TWO_SEGMENTS, tmp_path, "x" * 251, ["txt"])
    assert path.read_text() == "And so,\nmy fellow --> friends.\n"


def test_an_output_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(InvalidOption, match="output_dir"):
        write_files(TWO_SEGMENTS, tmp_path / "out", "a", ["txt"])


def test_no_language_is_an_empty_string_for_openai_and_null_for_whisper(tmp_path: Path) -> None:
    silence = make_transcript(language=None)
    assert json.loads(render(silence, "verbose_json"))["language"] == ""
    (path,) = write_files(silence, tmp_path, "a", ["json"])
    assert json.loads(path.read_text())["language"] is None
