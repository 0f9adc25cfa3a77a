"""Golden tokens: the reference's word on a made-up window, held against sessions and stored artifacts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from neuron_whisper.artifact.golden import (
    GOLDEN_FILE,
    GoldenTokens,
    find_centres,
    make_golden,
    make_golden_window,
    read_golden,
)
from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.artifact.manifest import FileEntry
from neuron_whisper.errors import ArtifactCorrupt
from neuron_whisper.profile import parse_profile
from neuron_whisper.text.special_tokens import SpecialTokens
from tests.support.artifact_samples import sample_manifest
from tests.support.sessions import checkpoint
from tests.support.tiny_program import spec

FLOAT32 = parse_profile('format = 1\n[target]\nname = "reference"')


@pytest.fixture(scope="module")
def golden() -> GoldenTokens:
    return make_golden(checkpoint(spec()), spec(), FLOAT32)


def test_golden_tokens_are_text_and_not_all_the_same(golden: GoldenTokens) -> None:
    assert golden.prompt == (91, 92, 98, 102), "start, the first language, transcribe, no timestamps"
    assert len(golden.tokens) == 12
    assert len(set(golden.tokens)) > 1
    assert all(token < 90 and token % 3 for token in golden.tokens), "text that is not banned"
    assert golden.tolerance == 1e-3


def test_every_length_of_a_graph_has_a_prompt_or_tokens_of_its_own(golden: GoldenTokens) -> None:
    assert [len(it.prompt) for it in golden.prefills] == [4, 5]
    assert [(it.prompt[0], it.sot_index) for it in golden.prefills] == [(91, 0), (100, 1)], "<|startofprev|> before it"
    assert all(it.language in range(5) and it.margin >= 0 for it in golden.prefills)
    assert golden.prefills[0].token == golden.tokens[0]
    (aligned,) = golden.alignments
    assert aligned.tokens == golden.prompt + golden.tokens
    assert np.shape(aligned.centres) == (2, 16)
    assert (np.array(aligned.centres) > 0).all()
    assert (np.array(aligned.centres) < 1).all()


def test_longer_graphs_get_the_least_that_they_are_for() -> None:
    program = replace(spec(), prompt_buckets=(8, 16, 40), align_buckets=(16, 48))
    golden = make_golden(checkpoint(program), program, FLOAT32)
    assert [len(it.prompt) for it in golden.prefills] == [8, 9, 17]
    assert [program.bucket_for(len(it.prompt)) for it in golden.prefills] == [8, 16, 40]
    assert [len(it.tokens) for it in golden.alignments] == [16, 17]


def test_an_english_only_program_has_no_language_and_one_without_alignment_none() -> None:
    special = SpecialTokens.from_layout(eot=90, n_languages=5, blank=7, is_multilingual=False)
    program = replace(spec(special=special), alignment_heads=())
    golden = make_golden(checkpoint(program), program, FLOAT32)
    assert {it.language for it in golden.prefills} == {None}
    assert golden.alignments == ()


def test_centres_are_means_of_positions() -> None:
    weights = np.zeros((1, 3, 4), np.float32)
    weights[0, 0] = 0.25
    weights[0, 1, 3] = 1
    weights[0, 2, :] = 0.5  # not normalised
    np.testing.assert_allclose(find_centres(weights), [[0.5, 0.875, 1.0]])


def store_golden(directory: Path, content: bytes) -> Artifact:
    (directory / GOLDEN_FILE).write_bytes(content)
    files = {GOLDEN_FILE: FileEntry(size=len(content), sha256="0" * 64)}
    return Artifact(path=directory, manifest=msgspec.structs.replace(sample_manifest(), files=files))


def test_what_earlier_versions_stored_is_read_without_prompts_and_alignments(
    golden: GoldenTokens, tmp_path: Path
) -> None:
    stored = {name: getattr(golden, name) for name in ("prompt", "tokens", "logprobs", "margins", "tolerance")}
    found = read_golden(store_golden(tmp_path, msgspec.json.encode({"format": 1, **stored})))
    assert found == GoldenTokens(format=1, **stored)
    assert (found.prefills, found.alignments) == ((), ())


@pytest.mark.parametrize("change", [{"format": 3}, {"margins": [1.0]}, {"prefills": [{"prompt": []}]}])
def test_what_is_no_record_of_golden_tokens_is_damage(
    golden: GoldenTokens, tmp_path: Path, change: dict[str, object]
) -> None:
    content = msgspec.json.encode({**msgspec.to_builtins(golden), **change})
    with pytest.raises(ArtifactCorrupt):
        read_golden(store_golden(tmp_path, content))


@pytest.mark.parametrize(
    ("dtype", "weights", "args", "tolerance"),
    [
        ("float32", "float32", "", 1e-3),
        ("float16", "float16", "", 0.05),
        ("bfloat16", "bfloat16", "", 0.4),
        ("float32", "int8", "", 0.4),
        ("bfloat16", 'int8"\nencoder = "int8', "", 1.5),
        ("float32", "float32", "--auto-cast=none", 1e-3),
        ("float32", "float32", "--auto-cast matmult", 0.4),
    ],
)
def test_the_tolerance_is_that_of_the_coarsest_type(dtype: str, weights: str, args: str, tolerance: float) -> None:
    tables = f'[target]\nname = "cpu"\ndtype = "{dtype}"\n[weights]\ndtype = "{weights}"\n'
    profile = parse_profile(f'format = 1\n{tables}[compiler]\nargs = ["{args}"]\n')
    small = replace(spec(), prompt_buckets=(4,), text_context=8, alignment_heads=())
    golden = make_golden(checkpoint(small), small, profile)
    centre_tolerance = {1e-3: 1e-3, 0.05: 0.05, 0.4: 0.25, 1.5: 0.25}[tolerance]
    assert (golden.tolerance, golden.centre_tolerance) == (tolerance, centre_tolerance)


def test_the_window_is_the_same_everywhere_and_holds_a_voice_and_silence() -> None:
    window = make_golden_window(80, 3000)
    assert window.shape == (80, 3000)
    assert make_golden_window(128, 48).shape == (128, 48)
    assert window[:, :600].std() > 0.2
    assert np.ptp(window[:, 700:]) == 0
    found = window[[5, 20, 40], [100, 250, 400]]
    np.testing.assert_allclose(found, [-0.7317, -0.2566, 0.2042], atol=1e-3)
