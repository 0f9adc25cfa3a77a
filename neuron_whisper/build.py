"""The compile stage: a profile and a checkpoint become an artifact of the store."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from neuron_whisper import __version__
from neuron_whisper.artifact.golden import make_golden, write_golden
from neuron_whisper.artifact.key import compute_artifact_key, make_artifact_name
from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.artifact.manifest import FORMAT, Manifest, spec_to_data
from neuron_whisper.artifact.source_hash import graph_source_files, hash_sources
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.errors import TargetUnavailable
from neuron_whisper.model.checkpoint import Checkpoint
from neuron_whisper.model.dims import default_alignment_heads
from neuron_whisper.model.parameters import expected_shapes
from neuron_whisper.model.sharding import check_tp
from neuron_whisper.model.transformers_tokenizer import has_slow_tokenizer, tokenizer_json_from_transformers
from neuron_whisper.planning.cost_model import DTYPE_BYTES
from neuron_whisper.profile import CompileProfile, find_profile_name
from neuron_whisper.target.interfaces import CompileRequest, ProgramSpec, Progress, spec_from_profile
from neuron_whisper.target.registry import install_command, load_target, missing_packages
from neuron_whisper.text.tiktoken_import import find_packaged_ranks, tokenizer_json_from_tiktoken
from neuron_whisper.text.tokenizer import GENERATION_CONFIG_NAME, Tokenizer

DEFAULT_FAMILY = "inf2"  # instance family when a Neuron artifact is compiled on another machine without an instance
WEIGHT_DTYPE_BYTES = {**DTYPE_BYTES, "int8": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSpec:
    """Everything that decides an artifact, before anything is compiled."""

    model: str
    checkpoint: Checkpoint
    profile: CompileProfile
    profile_name: str | None = None
    spec: ProgramSpec
    facts: Mapping[str, Any]
    key: str

    @property
    def name(self) -> str:
        """The artifact's directory name."""
        return make_artifact_name(self.model, self.profile.target.name, self.profile.target.tp, self.key)

    @property
    def weights_bytes(self) -> int:
        """Memory of the parameters in an open session, in the profile's weight type; an estimate."""
        encoder = decoder = 0
        for name, shape in expected_shapes(self.checkpoint.dims).items():
            if name.startswith("encoder."):
                encoder += math.prod(shape)
            else:
                decoder += math.prod(shape)
        copies = load_target(self.profile.target.name).decoder_copies(self.spec)
        encoders = 1 + len(self.spec.audio_contexts)  # a graph for each length
        return (encoders * encoder + copies * decoder) * WEIGHT_DTYPE_BYTES[self.profile.weights.dtype]

    @property
    def cache_bytes(self) -> int:
        """Self- and cross-K/V of all slots, in the profile's activation type, before a rare request has grown them."""
        width = WEIGHT_DTYPE_BYTES[self.profile.target.dtype] / 2
        rows = load_target(self.profile.target.name).self_kv_rows(self.spec)
        dims, contexts = self.spec.dims, self.spec.audio_contexts  # a cache for each length of window
        cross = self.spec.cross_bytes_per_slot * (dims.n_audio_ctx + sum(contexts)) // dims.n_audio_ctx
        per_slot = cross + self.spec.self_bytes_per_slot * rows // self.spec.beams
        return int(width * per_slot) * self.spec.slots


def resolve_profile_instance(profile: CompileProfile) -> CompileProfile:
    """The profile, checked; a Neuron profile without an instance gets this machine's family, or inf2.

    Raises ProfileError.
    """
    if profile.target.name != "neuron":
        return profile
    from neuron_whisper.target.neuron.instance import check_profile, detect_instance_family

    check_profile(profile)
    instance = profile.target.instance or detect_instance_family() or DEFAULT_FAMILY
    return structs.replace(profile, target=structs.replace(profile.target, instance=instance))


def check_compile_packages(target: str) -> None:
    """Raise TargetUnavailable, with the install line, when a package that compiling needs is not installed.

    Every target needs those of the reference, which makes the golden tokens. Imports nothing.
    """
    if missing := missing_packages("reference"):
        raise TargetUnavailable(target, f"compiling needs {', '.join(missing)}", install_command("reference"))


def resolve_build_spec(
    model: str,
    checkpoint: Checkpoint,
    profile: CompileProfile,
    *,
    profile_name: str | None = None,
    digest_cache: Path | None = None,
) -> BuildSpec:
    """Resolve spec, facts and key. Imports no torch. `profile_name` None: that of the packaged profile, if it is one.

    Raises InvalidOption (an impossible size), TargetUnavailable with its install line.
    """
    target = load_target(profile.target.name)
    check_tp(checkpoint.dims, profile.target.tp)
    spec = resolve_program_spec(checkpoint, profile)
    facts = {
        "format": FORMAT,
        "graph_sources": hash_sources(graph_source_files(profile.target.name)),
        "checkpoint": checkpoint.compute_digests(digest_cache),
        "profile": _make_profile_facts(profile),
        "toolchain": dict(target.toolchain()),
    }
    return BuildSpec(
        model=model,
        checkpoint=checkpoint,
        profile=profile,
        profile_name=profile_name or find_profile_name(profile),
        spec=spec,
        facts=facts,
        key=compute_artifact_key(facts),
    )


def resolve_program_spec(checkpoint: Checkpoint, profile: CompileProfile) -> ProgramSpec:
    """The program's sizes: the profile's, cut to the model's text context. Raises InvalidOption."""
    heads = checkpoint.alignment_heads or default_alignment_heads(checkpoint.dims)
    return replace(spec_from_profile(checkpoint.dims, profile), alignment_heads=heads)


def _make_profile_facts(profile: CompileProfile) -> dict[str, Any]:
    """The profile, with the instance's family for the instance: graphs are the same on all machines of a family."""
    facts = profile.to_canonical()
    facts["target"] = facts["target"] | {"instance": profile.target.instance.partition(".")[0]}
    return facts


def build(
    store: ArtifactStore,
    build_spec: BuildSpec,
    *,
    progress: Progress = lambda what, done, total: None,
    on_wait: Callable[[], None] | None = None,
    jobs: int = 0,
) -> Artifact:
    """The spec's artifact: the stored one, or compiled now. `on_wait` is called when another process compiles it.

    `jobs` graphs are compiled at once, 0: as many as the target likes; planning/compile_memory.choose_jobs limits them
    by the host's memory. Raises BuildError, ArtifactUnsafe, TargetUnavailable. Nothing half-written stays in the store.
    """
    if (stored := store.find(build_spec.key)) is not None:
        return stored
    target = load_target(build_spec.profile.target.name)
    with store.lock_compile(build_spec.key, on_wait):
        if (stored := store.find(build_spec.key)) is not None:  # the one we waited for
            return stored
        with store.stage(build_spec.name) as staging:
            _write_tokenizer(build_spec.checkpoint, staging.path)  # first: a wrong one costs no compilation
            target.compile(
                CompileRequest(
                    spec=build_spec.spec,
                    profile=build_spec.profile,
                    checkpoint=build_spec.checkpoint,
                    directory=staging.path,
                    progress=progress,
                    jobs=jobs,
                )
            )
            progress("golden tokens", 0, None)
            write_golden(make_golden(build_spec.checkpoint, build_spec.spec, build_spec.profile), staging.path)

            (staging.path / "config.json").write_text(json.dumps(asdict(build_spec.spec.dims), indent=2) + "\n")
            return store.publish(
                staging,
                Manifest(
                    name=build_spec.name,
                    key=build_spec.key,
                    model=build_spec.model,
                    target=build_spec.profile.target.name,
                    tp=build_spec.profile.target.tp,
                    created=datetime.now(UTC).isoformat(timespec="seconds"),
                    neuron_whisper=__version__,
                    facts=dict(build_spec.facts),
                    spec=spec_to_data(build_spec.spec),
                    profile=build_spec.profile.to_canonical(),
                    profile_name=build_spec.profile_name or msgspec.UNSET,
                ),
            )


def _write_tokenizer(checkpoint: Checkpoint, directory: Path) -> None:
    """tokenizer.json, and generation_config.json where the model suppresses other tokens than openai/whisper does.

    Raises CheckpointError when the tokenizer is not one of the model's vocabulary.
    """
    path = directory / "tokenizer.json"
    path.write_bytes(_read_tokenizer_json(checkpoint))
    tokenizer = Tokenizer.from_file(path, checkpoint.dims.n_vocab)
    if checkpoint.suppress_tokens is not None:
        text_tokens = tuple(sorted({token for token in checkpoint.suppress_tokens if token < tokenizer.special.eot}))
        if text_tokens != tokenizer.non_speech_tokens:
            settings = {"suppress_tokens": text_tokens}
            (directory / GENERATION_CONFIG_NAME).write_text(json.dumps(settings) + "\n")


def _read_tokenizer_json(checkpoint: Checkpoint) -> bytes:
    """The checkpoint's own, one made of its slow tokenizer's files, or the one of openai-whisper's vocabulary."""
    if checkpoint.tokenizer_file is not None:
        return checkpoint.tokenizer_file.read_bytes()
    if checkpoint.format == "huggingface" and has_slow_tokenizer(checkpoint.directory):
        return tokenizer_json_from_transformers(checkpoint.directory).encode()
    dims = checkpoint.dims
    return tokenizer_json_from_tiktoken(find_packaged_ranks(dims.is_multilingual), dims.n_vocab).encode()
