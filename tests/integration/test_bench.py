"""The bench: error rates against literals, manifests, weights in other forms, and a whole run by the command line."""

from __future__ import annotations

import json
import struct
import sys
import wave
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.bench.accuracy.manifest import ReferenceUtterance, RowFilter, read_utterances
from neuron_whisper.bench.accuracy.markdown import format_markdown, format_summary
from neuron_whisper.bench.accuracy.metrics import (
    ErrorCounts,
    count_character_errors,
    count_word_errors,
    percentile,
    sum_counts,
)
from neuron_whisper.bench.accuracy.report import SkippedSystem, build_report
from neuron_whisper.bench.accuracy.run import DecodedClip, System, SystemResult
from neuron_whisper.bench.accuracy.svg_chart import draw_svg
from neuron_whisper.bench.engines.config import DecodingConfig, EngineConfig
from neuron_whisper.bench.engines.engines import run_concurrently
from neuron_whisper.bench.engines.ggml import quantize_q8_0, write_ggml
from neuron_whisper.bench.engines.huggingface_export import write_huggingface
from neuron_whisper.bench.engines.peers import PEERS, parse_peer, parse_peer_pythons, probe_packages
from neuron_whisper.bench.process.client import WorkerClient
from neuron_whisper.cli.bench import bench
from neuron_whisper.cli.main import run
from neuron_whisper.errors import InvalidOption, TargetUnavailable
from neuron_whisper.model.checkpoint import open_checkpoint
from tests.support.tiny_models import TINY_DIMS, tiny_checkpoint, tiny_profile, write_tiny_checkpoint

__all__ = ["tiny_checkpoint", "tiny_profile"]  # fixtures

# --- error rates ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "heard", "language", "counts"),
    [
        ("The cat sat on the mat.", "the cat sat on the mat", "en", (0, 0, 0, 6)),
        ("The cat sat on the mat.", "The cat sit on mat", "en", (1, 1, 0, 6)),
        ("Mr. Smith paid $20", "mister smith paid twenty dollars", "en", (0, 0, 0, 4)),
        ("ask not", "so ask not what", "en", (0, 0, 2, 2)),
        ("ask not", "", "en", (0, 2, 0, 2)),
        ("", "thank you", "en", (0, 0, 2, 0)),
        ("Grüß Gott, Welt", "grüß gott wald", "de", (1, 0, 0, 3)),
    ],
)
def test_words_are_counted_after_openai_whispers_normaliser(
    reference: str, heard: str, language: str, counts: tuple[int, int, int, int]
) -> None:
    found = count_word_errors(reference, heard, language)
    assert (found.substitutions, found.deletions, found.insertions, found.reference) == counts


@pytest.mark.parametrize(
    ("reference", "heard", "language", "counts"),
    [
        ("東京、です。", "東京 で", "ja", (0, 1, 0, 4)),
        ("ＡＢＣ１２", "abc12", "ja", (0, 0, 0, 5)),
        ("안녕 하세요", "안녕하세오", "ko", (1, 0, 0, 5)),
        ("你好，世界", "你号世界啊", "zh", (1, 0, 1, 4)),
        ("a cat", "a cap", "en", (1, 0, 0, 5)),
    ],
)
def test_characters_are_counted_without_spaces_where_words_have_none(
    reference: str, heard: str, language: str, counts: tuple[int, int, int, int]
) -> None:
    found = count_character_errors(reference, heard, language)
    assert (found.substitutions, found.deletions, found.insertions, found.reference) == counts


def test_rates_add_up_by_their_counts() -> None:
    found = sum_counts(
        [ErrorCounts(substitutions=1, reference=4), ErrorCounts(deletions=1, insertions=2, reference=12)]
    )
    assert (found.errors, found.reference, found.rate) == (4, 16, 0.25)
    assert ErrorCounts(insertions=3).rate is None


TEXTS = st.lists(st.sampled_from(["cat", "dog", "e6", "æ", "12", "don't"]), max_size=6).map(" ".join)


@given(TEXTS)
def test_a_text_has_no_errors_against_itself(text: str) -> None:
    assert count_word_errors(text, text, "de").errors == count_character_errors(text, text, "ja").errors == 0


@given(TEXTS, TEXTS)
def test_as_many_errors_one_way_as_the_other(one: str, other: str) -> None:
    there, back = count_word_errors(one, other, "de"), count_word_errors(other, one, "de")
    assert there.errors == back.errors <= max(there.reference, back.reference)
    assert there.deletions - there.insertions == there.reference - back.reference


def test_percentiles_lie_between_the_nearest_values() -> None:
    assert percentile([4, 1, 3, 2], 50) == 2.5
    assert percentile([1, 2, 3, 4, 5], 95) == pytest.approx(4.8)
    assert percentile([7.0], 99) == 7.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


# --- manifests ------------------------------------------------------------------------------------


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Two recordings that nobody has to understand, and a manifest of each kind."""
    for n, name in enumerate(("a.wav", "b.wav")):
        samples = np.random.default_rng(n).normal(0, 3000, 16_000 * (n + 1)).astype("<i2")
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
    rows = 'file\tlang\ttranscript\tkind\na.wav\ten\t"Quoted and\treal\nb.wav\tde-DE\tZwei\tsynthetic\n'
    (tmp_path / "speech.tsv").write_text(rows, encoding="utf-8")
    lines = [
        {"path": "a.wav", "text": "one", "language": "English", "channel": 0},
        {"path": "b.wav", "text": "", "language": "en"},
        {"path": "b.wav", "text": None, "language": "en"},
    ]
    (tmp_path / "speech.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    (tmp_path / "a.txt").write_text("one\n")
    return tmp_path


def test_a_table_names_files_languages_and_texts(speech: Path) -> None:
    found, n_without_text = read_utterances([speech / "speech.tsv"])
    assert [(it.name, it.language, it.text) for it in found] == [
        ("a.wav", "en", '"Quoted and'),
        ("b.wav", "de", "Zwei"),
    ]
    assert n_without_text == 0


def test_json_lines_tell_silence_from_a_text_that_is_not_known(speech: Path) -> None:
    found, n_without_text = read_utterances([speech / "speech.jsonl"])
    assert [(it.name, it.text, it.channel) for it in found] == [("a.wav", "one", 0), ("b.wav", "", None)]
    assert n_without_text == 1


def test_a_directory_has_texts_beside_its_audio(speech: Path) -> None:
    assert read_utterances([speech], RowFilter(language="English")) == (
        [ReferenceUtterance(path=speech / "a.wav", language="en", text="one")],
        0,
    )
    with pytest.raises(InvalidOption, match="a directory tells no language: give --language"):
        read_utterances([speech])


def test_rows_are_chosen_by_language_column_name_and_number(speech: Path) -> None:
    table, lines = speech / "speech.tsv", speech / "speech.jsonl"
    for choice in (
        RowFilter(language="de"),
        RowFilter(where=(("kind", "synthetic"),)),
        RowFilter(skip=("a.*",)),
    ):
        assert [it.name for it in read_utterances([table], choice)[0]] == ["b.wav"]
    assert len(read_utterances([table, lines], RowFilter(limit=3))[0]) == 3
    with pytest.raises(InvalidOption, match="none of its recordings is in the choice"):
        read_utterances([table], RowFilter(language="ja"))
    with pytest.raises(InvalidOption, match="--where: 'sort' is not allowed; a column of the manifest"):
        read_utterances([table], RowFilter(where=(("sort", "real"),)))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("m.tsv", "file\tlang\na.wav\ten\n", "m.tsv line 1.*a column text or transcript.*there are: file, lang"),
        ("m.tsv", "transcript\nx\n", "a column path or file"),
        ("m.tsv", "file\tlang\ttext\na.wav\ten\tx\nno.wav\ten\tx\n", "m.tsv line 3.*a file that is there; .*no.wav is"),
        ("m.tsv", "file\tlang\ttext\na.wav\tklingon\tx\n", "m.tsv line 2.*a known language; 'klingon' is none"),
        ("m.tsv", "file\ttext\na.wav\tx\n", "m.tsv line 2.*a column language or lang or locale, or give --language"),
        ("m.csv", "file,text,lang,channel\na.wav,x,en,left\n", "channel is a number from 0; it is 'left'"),
        ("m.jsonl", '{"path": "a.wav"}\n', "m.jsonl line 1.*a column text"),
        ("m.jsonl", "{\n", "m.jsonl line 1.*a JSON object in each line"),
        ("m.jsonl", "[1]\n", "m.jsonl line 1.*a JSON object in each line"),
        ("m.xlsx", "", "a manifest .*tsv, .csv, .jsonl. or a directory"),
    ],
)
def test_what_is_wrong_in_a_manifest_is_told_by_its_line(speech: Path, name: str, content: str, told: str) -> None:
    (speech / name).write_text(content)
    with pytest.raises(InvalidOption, match=told):
        read_utterances([speech / name])


# --- the report -----------------------------------------------------------------------------------


def _system_result(engine: str, texts: list[str], seconds: list[list[float]], **more: Any) -> SystemResult:
    opening = EngineConfig(engine=engine, variant="auto", source="", threads=2, decoding=DecodingConfig())
    facts = {"artifact_key": "0123456789abcdef0123"} if engine == "neuron-whisper" else {"note": "as it is"}
    system = System(name=f"{engine} tiny", model="tiny", config=opening, python=sys.executable, facts=facts)
    tokens: list[list[int] | None] = [[n] for n in range(len(texts))]
    return SystemResult(system, load_s=1.5, peak_bytes=300_000_000, texts=texts, tokens=tokens, seconds=seconds, **more)


@pytest.fixture
def found() -> dict[str, Any]:
    """Two clips of 10 and 30 s, one of ours, openai-whisper, one that broke and one that was not there."""
    spoken = [
        ReferenceUtterance(path=Path("a|b.wav"), language="en", text="red green blue"),
        ReferenceUtterance(path=Path("c.wav"), language="ja", text="東京です。"),
    ]
    clips = [DecodedClip(utterance=it, samples=Path(), duration_s=10.0 + 20.0 * n) for n, it in enumerate(spoken)]
    results = [
        _system_result(
            "neuron-whisper",
            ["red grin blue", "東京です"],
            [[1.0, 3.0], [2.0, 2.0], [1.5, 6.5]],
            throughput={8: [20.0, 30.0, 25.0]},
        ),
        replace(
            _system_result(
                "openai-whisper", ["red green blue", "東京です"], [[4.0, 6.0]], is_serial=True, throughput={8: [4.0]}
            ),
            tokens=[[0], [9]],
        ),
        _system_result("whisper.cpp", [], [], fault="RuntimeError: no memory"),
    ]
    about = {
        "date": "2026-11-21T10:00:00+00:00",
        "command": "neuron-whisper bench x",
        "machine": {
            "processor": "A <fast> one",
            "architecture": "x86_64",
            "cores": 2,
            "memory_bytes": 8 << 30,
            "instruction_sets": ["avx512_bf16"],
            "system": "Linux 6",
            "load_before": 0.25,
        },
        "versions": {"neuron-whisper": "0.1.0"},
        "options": {"task": "transcribe", "beam_size": None, "temperature": [0.0, 0.2], "runs": 3, "threads": 2},
    }
    skipped = [SkippedSystem(name="faster-whisper tiny int8", reason="not installed here", install="pip install it")]
    return build_report(clips, results, skipped, about)


def test_the_document_has_medians_and_counts(found: dict[str, Any]) -> None:
    ours, theirs = found["systems"]
    assert ours["wer"] == {"rate": 0.33333, "substitutions": 1, "deletions": 0, "insertions": 0, "reference": 3}
    # 14 characters of English, spaces among them, and 4 of Japanese
    assert ours["cer"] == {"rate": 0.11111, "substitutions": 1, "deletions": 1, "insertions": 0, "reference": 18}
    assert ours["languages"]["ja"]["wer"]["rate"] is None
    assert ours["languages"]["ja"]["cer"]["rate"] == 0.0
    assert ours["runs_s"] == [4.0, 4.0, 8.0]
    assert (ours["rtf"], ours["speed"]) == (0.1, 10.0)
    assert [clip["seconds"] for clip in ours["clips"]] == [1.5, 3.0]
    assert ours["latency_s"] == {"p50": 2.25, "p95": 2.925, "p99": 2.985}
    assert ours["throughput"] == {"8": 25.0}
    assert ours["as_openai_whisper"] == {"same_text": 1, "same_tokens": 1, "differing": [0]}
    assert theirs["as_openai_whisper"] is None
    assert [(it["name"], it["reason"]) for it in found["skipped"]] == [
        ("faster-whisper tiny int8", "not installed here"),
        ("whisper.cpp tiny", "RuntimeError: no memory"),
    ]
    json.dumps(found, allow_nan=False)


def test_the_markdown_has_a_row_for_each_system_and_the_texts_with_errors(found: dict[str, Any]) -> None:
    text = format_markdown(found)
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
    assert format_summary(found).startswith("| system | WER % |")


def test_every_row_of_a_table_has_as_many_cells(found: dict[str, Any]) -> None:
    tables: list[set[int]] = [set()]
    for line in format_markdown(found).splitlines():
        if line.startswith("|"):
            tables[-1].add(line.replace("\\|", "").count("|"))
        elif tables[-1]:
            tables.append(set())
    assert [len(counts) for counts in tables if counts] == [1, 1, 1]


def test_the_picture_is_svg_with_bars_in_proportion(found: dict[str, Any]) -> None:
    root = ET.fromstring(draw_svg(found))
    space = "{http://www.w3.org/2000/svg}"
    bars = [float(it.attrib["width"]) for it in root.iter(f"{space}rect")][1:]
    assert bars[:2] == [112.0, 280.0]  # RTF 0.1 and 0.25
    assert bars[2:] == [280.0, 0.0]  # WER 33 and 0 %
    texts = [it.text for it in root.iter(f"{space}text")]
    assert {"neuron-whisper tiny", "0.250", "33.33 %", "0.00 %"} <= set(texts)
    assert any("A <fast> one" in (text or "") for text in texts)


# --- peers and weights ----------------------------------------------------------------------------


def test_peers_are_named_with_a_variant_and_a_python() -> None:
    assert parse_peer("faster-whisper") == (PEERS["faster-whisper"], "int8")
    assert parse_peer("whisper.cpp:q8_0") == (PEERS["whisper.cpp"], "q8_0")
    assert parse_peer_pythons(("faster-whisper=/a", "/b")) == {"faster-whisper": "/a", "": "/b"}
    with pytest.raises(InvalidOption, match="one of faster-whisper, faster-whisper-batched, openai-whisper"):
        parse_peer("slower-whisper")
    with pytest.raises(InvalidOption, match=r"variants of whisper\.cpp: f16, q8_0"):
        parse_peer("whisper.cpp:int8")
    with pytest.raises(InvalidOption, match="--peer-python"):
        parse_peer_pythons(("slower-whisper=/a",))


def test_a_python_tells_what_it_has_and_what_it_lacks() -> None:
    peer = replace(PEERS["openai-whisper"], modules=("numpy", "no.such.module"), packages=("numpy", "no-such"))
    assert probe_packages(peer, sys.executable) == (("no.such.module",), {"numpy": np.__version__})
    with pytest.raises(InvalidOption, match="--peer-python"):
        probe_packages(peer, "/no/such/python")


def test_whisper_cpps_file_reads_back_as_the_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(tiny_checkpoint)
    for variant, close in (("f16", 2e-3), ("q8_0", 2e-2)):
        write_ggml(checkpoint, variant, tmp_path / variant)
        header, tokens, tensors = _ggml((tmp_path / variant).read_bytes())
        assert header == (51864, 1500, 64, 1, 1, 448, 64, 1, 1, 80, {"f16": 1, "q8_0": 2007}[variant])
        assert (len(tokens), tokens[:3], tokens[220]) == (50256, [b"!", b'"', b"#"], b" ")
        assert set(tensors) == set(checkpoint.parameter_names)
        for name, value in tensors.items():
            wanted = checkpoint.tensor(name)
            off = np.abs(value.reshape(wanted.shape) - wanted).max()
            assert off <= close * max(1.0, float(np.abs(wanted).max())), name


def _ggml(content: bytes) -> tuple[tuple[int, ...], list[bytes], dict[str, Any]]:
    """(sizes, tokens, tensors), read to the last byte."""
    at = 0

    def take(fmt: str) -> tuple[Any, ...]:
        nonlocal at
        at += struct.calcsize(fmt)
        return struct.unpack_from(fmt, content, at - struct.calcsize(fmt))

    magic, *header = take("<12i")
    assert magic == 0x67676D6C
    n_mels, n_bins = take("<2i")
    at += 4 * n_mels * n_bins
    tokens = [take(f"<{take('<i')[0]}s")[0] for _ in range(take("<i")[0])]
    tensors = {}
    while at < len(content):
        n_dims, length, kind = take("<3i")
        shape = take(f"<{n_dims}i")[::-1]
        name = take(f"<{length}s")[0].decode()
        if kind == 8:
            blocks = np.frombuffer(content, np.dtype([("d", "<f2"), ("q", "i1", 32)]), np.prod(shape) // 32, at)
            tensors[name], size = blocks["q"] * blocks["d"].astype(np.float32)[:, None], blocks.nbytes
        else:
            values = np.frombuffer(content, "<f2" if kind else "<f4", int(np.prod(shape)), at)
            tensors[name], size = values.astype(np.float32), values.nbytes
        tensors[name] = tensors[name].reshape(shape)
        at += size
    return tuple(header), tokens, tensors


@given(st.lists(st.floats(-8, 8, width=32), min_size=32, max_size=32))
def test_eight_bits_are_off_by_half_a_step_at_most(values: list[float]) -> None:
    packed = np.frombuffer(quantize_q8_0(np.array([values], np.float32)), np.dtype([("d", "<f2"), ("q", "i1", 32)]))
    step = float(np.abs(values).max()) / 127
    # and by the scale's own rounding to float16
    assert np.abs(packed["q"][0] * np.float32(packed["d"][0]) - values).max() <= 0.5 * step + 0.07 * step + 127 * 3e-8


def test_a_checkpoint_reads_back_from_its_hugging_face_form(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(tiny_checkpoint)
    write_huggingface(checkpoint, tmp_path)
    again = open_checkpoint(tmp_path)
    assert again.dims == TINY_DIMS
    assert all(np.array_equal(again.tensor(name), checkpoint.tensor(name)) for name in checkpoint.parameter_names)
    told = json.loads((tmp_path / "generation_config.json").read_text())
    assert (told["no_timestamps_token_id"], told["begin_suppress_tokens"]) == (50362, [220, 50256])
    assert "lang_to_id" not in told


# --- processes ------------------------------------------------------------------------------------


def test_a_process_that_dies_is_told_with_its_exit_code(tmp_path: Path) -> None:
    opening = EngineConfig(engine="whisper.cpp", variant="f16", source="", threads=1, decoding=DecodingConfig())
    ended = pytest.raises(TargetUnavailable, match="its process ended with 1: it said nothing")
    with WorkerClient("peer", "/bin/false", 1, tmp_path) as child, ended:
        child.open(opening)


def test_a_fault_of_an_engine_is_an_answer_and_the_process_lives(tmp_path: Path) -> None:
    opening = EngineConfig(
        engine="neuron-whisper",
        variant="auto",
        source="/no/such/artifact",
        threads=1,
        decoding=DecodingConfig(),
        cache=str(tmp_path),
    )
    with WorkerClient("ours", sys.executable, 1, tmp_path) as child:
        with pytest.raises(TargetUnavailable, match="ArtifactNotFound"):
            child.open(opening)
        assert 10e6 < child.peak_memory_bytes() < 2e9


def test_streams_share_an_engine_and_each_clip_is_heard_once() -> None:
    heard: list[int] = []

    class Counting:
        is_serial = False

        def transcribe(self, samples: Any, language: str | None) -> Any:
            heard.append(len(samples))
            if len(samples) == 99:
                raise ValueError("ninety-nine")

    clips = [(np.zeros(n, np.float32), "en") for n in range(1, 21)]
    run_concurrently(Counting(), clips, 4)
    assert sorted(heard) == list(range(1, 21))
    with pytest.raises(ValueError, match="ninety-nine"):
        run_concurrently(Counting(), [(np.zeros(99, np.float32), None)], 2)


@pytest.fixture(scope="module")
def missing_peer() -> str:
    """One that this python does not have."""
    found: Iterator[str] = (
        peer.name for peer in PEERS.values() if find_spec(peer.modules[0].partition(".")[0]) is None
    )
    name = next(found, None)
    if name is None:
        pytest.skip("every peer is installed: that a missing one is named is not proved")
    return name


def test_a_whole_run_measures_ours_and_openai_whisper_and_names_what_is_missing(
    speech: Path, tiny_profile: Path, missing_peer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # openai-whisper ends a window after half the text context, which nonsense always fills
    few = replace(TINY_DIMS, n_text_ctx=24)
    tiny_checkpoint = write_tiny_checkpoint(tmp_path / "tiny-random.en", dims=few)
    out = {kind: tmp_path / f"report.{kind}" for kind in ("json", "markdown", "picture")}
    code = run(
        [
            "bench",
            str(speech / "speech.jsonl"),
            "--model",
            str(tiny_checkpoint),
            "--profile",
            str(tiny_profile),
            "--peer",
            "openai-whisper",
            "--peer",
            missing_peer,
            "--cache",
            str(tmp_path / "cache"),
            "--temperature",
            "0",
            "--runs",
            "2",
            "--streams",
            "2",
            "--threads",
            "1",
            *(part for kind, file in out.items() for part in (f"--{kind}", str(file))),
        ]
    )
    said = capsys.readouterr()
    assert code == 0, said.err
    found = json.loads(out["json"].read_text())
    assert [system["engine"] for system in found["systems"]] == ["neuron-whisper", "openai-whisper"]
    for system in found["systems"]:
        assert len(system["runs_s"]) == 2
        assert 0 < system["latency_s"]["p50"] <= system["latency_s"]["p99"]
        assert system["throughput"]["2"] > 0
        assert 50e6 < system["peak_bytes"] < 3e9
        assert 0 < system["load_s"] < 120
        assert [clip["words"]["reference"] for clip in system["clips"]] == [1, 0]
    assert len(found["systems"][0]["artifact_key"]) == 64
    assert found["skipped"][0]["name"].startswith(missing_peer)
    assert found["skipped"][0]["install"] == PEERS[missing_peer].install
    assert f"not measured: **{missing_peer} tiny-random.en" in said.out
    assert "1 recordings have no text" in said.err
    assert out["markdown"].read_text().startswith("# Accuracy and speed\n")
    assert out["picture"].read_text().startswith("<svg ")
    # what openai-whisper ran on are the checkpoint's weights
    [converted] = (tmp_path / "cache" / "bench").glob("*-openai/model.pt")
    checkpoint, theirs = open_checkpoint(tiny_checkpoint), open_checkpoint(converted)
    assert theirs.dims == checkpoint.dims
    assert all(np.array_equal(theirs.tensor(name), checkpoint.tensor(name)) for name in checkpoint.parameter_names)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--peer", "nobody"], "--peer: 'nobody' is not allowed"),
        (["--temperature", "warm"], "--temperature: 'warm' is not allowed"),
        (["--temperature", "0.4,0.2"], "temperature"),
        (["--streams", "0"], "--streams: '0' is not allowed"),
        (["--where", "kind"], "--where: 'kind' is not allowed"),
        (["--long-form", "zigzag"], "long_form: 'zigzag' is not allowed"),
        (["--language", "klingon"], "language: 'klingon' is not allowed"),
    ],
)
def test_flags_are_refused_before_anything_is_measured(
    speech: Path, tmp_path: Path, flags: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", str(speech / "speech.tsv"), "--cache", str(tmp_path / "none"), *flags]) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_profile_for_an_artifact_is_a_contradiction(
    speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--cache", str(tmp_path / "none"), "--artifact", "base", "--profile", "cpu"]
    assert run(["bench", str(speech / "speech.tsv"), *flags]) == 2
    assert "an --artifact has its own" in capsys.readouterr().err


def test_help_names_every_peer() -> None:
    text = " ".join(CliRunner().invoke(bench, ["--help"]).output.replace("│", " ").split())
    assert all(name in text for name in PEERS)
