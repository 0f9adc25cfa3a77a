"""Keys: canonical facts, named differences, names and references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.artifact.key import (
    ABSENT,
    compute_artifact_key,
    explain_difference,
    make_artifact_name,
    match_reference,
)
from neuron_whisper.errors import (
    InvalidOption,
)

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


facts = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


def reorder(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: reorder(inner) for name, inner in reversed(value.items())}
    return tuple(reorder(inner) for inner in value) if isinstance(value, list) else value


@given(facts)
def test_a_key_depends_neither_on_the_order_of_facts_nor_on_lists_being_tuples(some: dict[str, Any]) -> None:
    assert compute_artifact_key(reorder(some)) == compute_artifact_key(some)
    assert explain_difference(some, reorder(some)) == []


@given(facts, facts)
def test_two_keys_differ_exactly_when_a_difference_can_be_named(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert (compute_artifact_key(a) != compute_artifact_key(b)) == bool(explain_difference(a, b))


def test_a_key_is_the_sha256_of_canonical_json() -> None:
    # printf '{"a":[1,true],"b":{"c":"\\u3042"}}' | sha256sum
    expected = "f70dedf8fa3f8d6433e8d31386de7cadb2537b5260ca94d3759bd143c84b598c"
    assert compute_artifact_key({"b": {"c": "あ"}, "a": (1, True)}) == expected


def test_a_difference_is_named_by_its_dotted_fact() -> None:
    a = {"profile": {"target": {"tp": 1}, "weights": {"dtype": "int8"}}, "toolchain": {"openvino": "1"}}
    b = {"profile": {"target": {"tp": 2}, "weights": {"dtype": "int8"}}, "toolchain": {}, "format": 1}
    assert explain_difference(a, b) == [
        ("format", ABSENT, 1),
        ("profile.target.tp", 1, 2),
        ("toolchain", ABSENT, {}),
        ("toolchain.openvino", "1", ABSENT),
    ]


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"a": {"b": float("nan")}}, "a.b"),
        ({"a": [1, float("inf")]}, "a.1"),
        ({"a": Path("x")}, "a"),
        ({"a": {1: 2}}, "a.1"),
    ],
)
def test_a_value_json_cannot_hold_exactly_is_no_fact(value: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        compute_artifact_key(value)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("model", "label"),
    [
        ("base", "base"),
        ("openai/whisper-base", "whisper-base"),
        ("/models/tiny.en.pt", "tiny.en.pt"),
        ("kotoba-tech/kotoba-whisper-v2.2@main", "kotoba-whisper-v2.2-main"),
        ("../..", "model"),
        ("日本", "model"),
    ],
)
def test_an_artifact_is_named_after_the_last_part_of_its_model(model: str, label: str) -> None:
    assert make_artifact_name(model, "cpu", 2, "0123456789abcdef" * 4) == f"{label}-cpu-tp2-0123456789abcdef"


def test_a_reference_means_a_name_then_a_label_then_a_beginning_then_a_key() -> None:
    base, english, large = (
        "base-cpu-tp1-00aa000000000000",
        "base.en-cpu-tp1-11bb000000000000",
        "large-cpu-tp2-11cc000000000000",
    )
    names = [base, english, large]
    assert match_reference(base, names) == [base]
    assert match_reference("base", names) == [base]
    assert match_reference("bas", names) == [base, english]
    assert match_reference("11bb", names) == [english]
    assert match_reference("11b", names) == []
    assert match_reference("11bb" + "0" * 60, names) == [english]
    assert match_reference("", names) == []
