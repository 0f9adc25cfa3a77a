"""Goals of texts beside openai-whisper's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.goals.parity import TEXT_GOALS, describe_miss, judge_texts, main
from neuron_whisper.bench.accuracy.manifest import ReferenceUtterance
from neuron_whisper.bench.accuracy.report import build_report
from neuron_whisper.bench.accuracy.run import DecodedClip
from neuron_whisper.errors import InvalidOption
from tests.support.bench_reports import make_result

WORDS = " ".join(f"word{letter}" for letter in "abcdefghijklmnopqrstuvwxy")


def parity_report(
    ours: dict[str, list[str]], theirs: dict[str, list[str]], profiles: tuple[str, ...] = ("cpu",)
) -> dict[str, Any]:
    """Texts by language of every profile of ours, and of openai-whisper; each reference is WORDS."""
    clips = [
        DecodedClip(
            utterance=ReferenceUtterance(path=Path(f"{language}{n}.wav"), language=language, text=WORDS),
            samples=Path(),
            duration_s=1.0,
        )
        for language, texts in theirs.items()
        for n in range(len(texts))
    ]
    flat = [[text for texts in side.values() for text in texts] for side in (ours, theirs)]
    seconds = [[1.0] * len(clips)]
    results = [
        *(make_result("neuron-whisper", flat[0], seconds, label=f"tiny {profile} sequential") for profile in profiles),
        make_result("openai-whisper", flat[1], seconds),
    ]
    return build_report(clips, results, [], {})


def misspell(count: int) -> str:
    """WORDS with so many wrong words."""
    return WORDS.replace("word", "wrong", count)


def test_equal_texts_reach_every_goal() -> None:
    texts = {language: [WORDS, misspell(3)] for language in ("en", "de", "es", "fr", "pt", "ja")}
    verdicts = judge_texts(parity_report(texts, texts))
    assert [it.goal for it in verdicts] == list(TEXT_GOALS)
    assert [(it.ours, it.theirs, it.is_met) for it in verdicts] == [
        (1.0, 1.0, True),
        (12, 12, True),
        (0.06, 0.06, True),
    ]


@pytest.mark.parametrize(("changed", "is_met"), [(1, True), (2, False)])
def test_nineteen_of_twenty_english_texts_are_to_be_the_same(changed: int, is_met: bool) -> None:
    theirs = {"en": [misspell(1)] * 20}
    # as many wrong words, in other places
    ours = {"en": [WORDS.replace("wordy", "last")] * changed + [misspell(1)] * (20 - changed)}
    same_text, _, wer = judge_texts(parity_report(ours, theirs))
    assert (same_text.ours, same_text.is_met) == (1 - changed / 20, is_met)
    assert wer.is_met is True


def test_punctuation_and_case_change_no_text() -> None:
    [same_text, *_] = judge_texts(parity_report({"en": [WORDS.upper() + "."]}, {"en": [WORDS]}))
    assert same_text.is_met is True


@pytest.mark.parametrize(("extra", "is_met"), [(2, True), (3, False)])
def test_two_more_wrong_words_are_allowed_over_four_languages_together(extra: int, is_met: bool) -> None:
    theirs = {"de": [misspell(4)], "es": [misspell(5)], "fr": [WORDS], "pt": [WORDS], "ja": ["x"]}
    # one fewer in German does not count for itself: only the sum does
    ours = {"de": [misspell(3)], "es": [misspell(5)], "fr": [misspell(1)], "pt": [misspell(extra)], "ja": [""]}
    english, wrong_words, wer = judge_texts(parity_report(ours, theirs))
    assert (wrong_words.ours, wrong_words.theirs, wrong_words.is_met) == (9 + extra, 9, is_met)
    assert (english.is_met, wer.is_met) == (None, None)  # no clip in English


@pytest.mark.parametrize(("wrong", "is_met"), [(1, True), (2, False)])
def test_a_fifth_of_a_point_of_english_wer_is_allowed(wrong: int, is_met: bool) -> None:
    theirs = {"en": [WORDS] * 20}  # 500 words
    verdict = judge_texts(parity_report({"en": [misspell(wrong), *[WORDS] * 19]}, theirs))[-1]
    assert (verdict.ours, verdict.theirs, verdict.is_met) == (wrong / 500, 0, is_met)


def test_only_the_profile_that_is_named_is_judged() -> None:
    report = parity_report({"en": [WORDS]}, {"en": [WORDS]}, profiles=("cpu-exact", "cpu"))
    assert {it.system for it in judge_texts(report)} == {"neuron-whisper tiny cpu sequential"}
    assert {it.system for it in judge_texts(report, "cpu-exact")} == {"neuron-whisper tiny cpu-exact sequential"}
    with pytest.raises(InvalidOption, match="tiny cpu-exact sequential, neuron-whisper tiny cpu sequential"):
        judge_texts(report, "cpu-fast")


def test_nothing_is_judged_without_openai_whisper() -> None:
    report = parity_report({"en": [WORDS]}, {"en": [WORDS]})
    report["systems"].pop()
    with pytest.raises(InvalidOption, match="measured beside openai-whisper"):
        judge_texts(report)


def test_a_missed_goal_is_named_and_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, goals = tmp_path / "report.json", tmp_path / "goals.json"
    report.write_text(json.dumps(parity_report({"en": [misspell(1), WORDS]}, {"en": [WORDS, WORDS]})))
    assert main([str(report), "--json", str(goals)]) == 1
    printed = capsys.readouterr().out
    assert (
        "- missed: neuron-whisper tiny cpu sequential: same normalised text, en: 50.0 %; goal: at least 95.0 %"
        in printed
    )
    assert "- missed: neuron-whisper tiny cpu sequential: WER, en: 2.00 %; goal: at most 0.20 %" in printed
    assert [it["is_met"] for it in json.loads(goals.read_text())] == [False, None, False]
    report.write_text(json.dumps(parity_report({"en": [WORDS]}, {"en": [WORDS]})))
    assert main([str(report)]) == 0
    assert "missed" not in capsys.readouterr().out
    assert main([str(report), "--profile", "cpu-fast"]) == 2


@pytest.mark.parametrize(
    ("texts", "code"),
    [({"ja": ["x"]}, 3), ({"ja": ["x"], "fr": [WORDS]}, 0), ({"it": [WORDS]}, 3), ({"en": [WORDS]}, 0)],
    ids=["ja", "ja and fr", "it", "en"],
)
def test_a_report_in_which_no_clip_has_a_language_with_goals_is_no_success(
    texts: dict[str, list[str]], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps(parity_report(texts, texts)))
    assert main([str(report)]) == code
    printed = capsys.readouterr()
    assert "not judged: no such clip" in printed.out
    assert printed.err.startswith("error: nothing was judged") is (code == 3)


def test_a_report_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err


def test_a_miss_has_its_figure_and_its_goal() -> None:
    verdicts = judge_texts(parity_report({"de": [misspell(7)]}, {"de": [misspell(1)]}))
    [missed] = [it for it in verdicts if it.is_met is False]
    assert describe_miss(missed) == ("neuron-whisper tiny cpu sequential: wrong words, de es fr pt: 7; goal: at most 3")
