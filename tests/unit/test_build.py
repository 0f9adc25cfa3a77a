"""The compile stage: what decides an artifact's key, and what is said before anything is fetched or compiled."""

from __future__ import annotations

import math
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from msgspec import structs

from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.build import check_compile_packages, plan_build, resolve_build_spec
from neuron_whisper.errors import TargetUnavailable
from neuron_whisper.model.checkpoint import Checkpoint, open_checkpoint
from neuron_whisper.model.parameters import TOKEN_EMBEDDING, expected_shapes
from neuron_whisper.profile import load_profile, parse_profile
from neuron_whisper.target.cpu.target import TARGET
from tests.support.artifact_samples import publish_sample, sample_manifest
from tests.support.tiny_models import write_tiny_checkpoint


class NoTorch:
    """An importer to which torch is not installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name == "torch":
            raise ModuleNotFoundError(name=name)
        return None


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(write_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny"))


def test_compiling_without_torch_names_it_and_its_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [NoTorch(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises(TargetUnavailable) as refused:
        check_compile_packages("cpu")
    assert refused.value.target == "cpu"
    assert "torch" in refused.value.reason
    assert "neuron-whisper[compile]" in refused.value.install


def test_compiling_with_torch_is_possible() -> None:
    check_compile_packages("cpu")


def test_a_build_spec_has_the_name_of_a_packaged_profile_or_the_given_one(checkpoint: Checkpoint) -> None:
    assert resolve_build_spec("tiny", checkpoint, load_profile("cpu")).profile_name == "cpu"
    changed = load_profile("cpu", {"shapes.slots": 3})
    assert resolve_build_spec("tiny", checkpoint, changed).profile_name is None
    assert resolve_build_spec("tiny", checkpoint, changed, profile_name="mine").profile_name == "mine"


def test_the_key_depends_on_checkpoint_and_profile_and_not_on_names(checkpoint: Checkpoint, tmp_path: Path) -> None:
    other = open_checkpoint(write_tiny_checkpoint(tmp_path / "other", seed=1))
    profile = load_profile("cpu")
    key = resolve_build_spec("tiny", checkpoint, profile).key
    assert resolve_build_spec("another name", checkpoint, profile, profile_name="mine").key == key
    assert resolve_build_spec("tiny", other, profile).key != key
    assert resolve_build_spec("tiny", checkpoint, load_profile("cpu-fast")).key != key


def test_sizes_of_a_program_are_cut_to_the_model(checkpoint: Checkpoint) -> None:
    profile = parse_profile('[target]\nname = "cpu"\n[shapes]\ntext_context = 100000\nprompt_buckets = [4, 100000]\n')
    build_spec = resolve_build_spec("tiny", checkpoint, profile)
    context = checkpoint.dims.n_text_ctx
    assert build_spec.spec.text_context == context
    assert build_spec.spec.prompt_buckets == (4, context)
    assert build_spec.spec.alignment_heads
    assert build_spec.name.startswith("tiny-cpu-tp1-")


def test_memory_of_weights_and_caches_follows_the_types(checkpoint: Checkpoint) -> None:
    wide = resolve_build_spec("tiny", checkpoint, load_profile("cpu-exact"))
    half = resolve_build_spec(
        "tiny", checkpoint, load_profile("cpu-exact", {"target.dtype": "bfloat16", "weights.dtype": "int8"})
    )
    eight_bit_encoder = resolve_build_spec(
        "tiny",
        checkpoint,
        load_profile("cpu-exact", {"target.dtype": "bfloat16", "weights.dtype": "int8", "weights.encoder": "int8"}),
    )
    encoder = sum(math.prod(it) for name, it in expected_shapes(checkpoint.dims).items() if name.startswith("encoder."))
    embedding = math.prod(expected_shapes(checkpoint.dims)[TOKEN_EMBEDDING])
    copies = TARGET.decoder_copies(half.spec)
    assert half.weights_bytes == wide.weights_bytes // 4 + encoder + copies * embedding  # these have 16 bit
    assert eight_bit_encoder.weights_bytes == half.weights_bytes - encoder
    assert wide.cache_bytes == 2 * half.cache_bytes


@pytest.mark.parametrize("has_tokenizer", [True, False])
def test_a_model_on_this_machine_is_not_looked_up_where_its_artifact_is_stored(
    has_tokenizer: bool, tmp_path: Path
) -> None:
    model = write_tiny_checkpoint(tmp_path / "tiny")
    if not has_tokenizer:
        (model / "tokenizer.json").unlink()
    store, fetched = ArtifactStore(tmp_path / "cache"), []

    def fetch() -> Path:
        fetched.append(model)
        return model

    planned = plan_build(str(model), load_profile("cpu"), store, fetch, cache=tmp_path / "cache")
    assert fetched == [model]  # before a compilation, which needs the tokenizer
    publish_sample(store, structs.replace(sample_manifest(), key=planned.key, name=planned.name, facts=planned.facts))
    again = plan_build(str(model), load_profile("cpu"), store, fetch, cache=tmp_path / "cache")
    assert (again.key, fetched) == (planned.key, [model])


def test_a_model_that_cannot_be_read_without_what_the_hub_has_is_looked_up(tmp_path: Path) -> None:
    whole, partial = (write_tiny_checkpoint(tmp_path / name) for name in ("whole", "partial"))
    (partial / "config.json").write_text("{}")
    planned = plan_build(
        str(partial), load_profile("cpu"), ArtifactStore(tmp_path / "cache"), lambda: whole, cache=tmp_path / "cache"
    )
    assert planned.checkpoint.directory == whole
