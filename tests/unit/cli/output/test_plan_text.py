"""The text of `plan`: three digits of a time, cores of the replicas, a row of a published run."""

from __future__ import annotations

import pytest

from neuron_whisper.cli.main import run
from neuron_whisper.cli.output.plan_text import PUBLISHED_HEADERS, echo_published, format_published, format_seconds
from neuron_whisper.planning.published_runs import PUBLISHED_RUNS, bound_run


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 us"),
        (4.567e-4, "457 us"),
        (9.9949e-3, "9.99 ms"),
        (0.0234, "23.4 ms"),
        (0.9999, "1.00 s"),
        (1.5, "1.50 s"),
    ],
)
def test_a_time_has_three_digits(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_a_row_of_a_published_run_has_its_time_its_bound_and_the_rest() -> None:
    kotoba = next(it for it in PUBLISHED_RUNS if it.tp == 2)
    row = dict(zip(PUBLISHED_HEADERS, format_published(bound_run(kotoba)), strict=True))
    assert (row["TP x REPL"], row["AUDIO"], row["TOOK"], row["BOUND"]) == ("2 x 1", "6.62 s", "669 ms", "26.5 ms")
    assert (row["COLLECTIVES"], row["REST"]) == ("5.82 ms", "643 ms")
    many = next(it for it in PUBLISHED_RUNS if it.replicas == 4)
    row = dict(zip(PUBLISHED_HEADERS, format_published(bound_run(many)), strict=True))
    assert (row["AUDIO"], row["COLLECTIVES"]) == ("16 of 7.3 s", "-")


def test_a_published_run_names_the_number_of_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    first, last = PUBLISHED_RUNS[0], PUBLISHED_RUNS[-1]
    echo_published([bound_run(first), bound_run(last), bound_run(first)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[1:4]] == ["1", "2", "1"]
    assert [line for line in lines if line.startswith(("1: ", "2: "))] == [
        f"1: {first.citation}",
        f"2: {last.citation}",
    ]


def test_plan_shows_chips_and_logical_cores_prices_and_the_cores_of_each_replica(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["plan", "-m", "turbo", "--profile", "neuron-large-v3-turbo-trn2.3xlarge-tp1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("trn2.3xlarge"))
    assert row.split()[1:5] == ["1", "x", "4", "2"]
    assert row.endswith("2.235  capacity block of 24 h, sa-east-1, 2026-08-04")
    assert "cores, in the order of ranks: replica 0: 0; replica 1: 1; ..." in lines


@pytest.mark.parametrize(
    ("args", "collectives"),
    [
        (("--tp", "1"), "-"),
        (("--tp", "2"), "20: 520 us"),
        (("--tp", "4", "--instance", "inf2.24xlarge"), "20: 2.50 ms"),
    ],
)
def test_a_row_of_a_graph_has_the_number_of_its_collectives_and_their_time(
    capsys: pytest.CaptureFixture[str], args: tuple[str, ...], collectives: str
) -> None:
    assert run(["plan", "-m", "base", "--instance", "inf2.24xlarge", *args]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("decode 8"))
    assert f"  {collectives}  " in row


def test_the_most_audio_per_dollar_says_how_its_instance_is_bought(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["plan", "-m", "base", "--instance", "inf2.xlarge", "--instance", "trn2.3xlarge"]
    for given, basis in (([], "capacity block of 24 h"), (["--hourly", "inf2.xlarge=0.1"], "given")):
        assert run([*args, *given]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert next(line for line in lines if line.startswith("most audio per dollar")).endswith(f"price: {basis}")


def test_a_tp_that_the_runtime_may_refuse_is_named_with_its_instance(
    capsys: pytest.CaptureFixture[str],
) -> None:
    args = ["plan", "-m", "base", "--tp", "4", "--instance", "inf2.24xlarge"]
    for more, unlisted in (([], 0), (["--instance", "trn1.32xlarge"], 1)):
        assert run([*args, *more]) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if "AWS lists tp" in line]
        assert [line.partition(":")[0] for line in lines] == ["trn1.32xlarge, tp 4 x 8"] * unlisted
