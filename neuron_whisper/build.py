"""The compile stage: a profile and a checkpoint become an artifact of the store."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import structs

from neuron_whisper import __version__
from neuron_whisper.artifact.golden import GoldenTokens, make_golden, write_golden
from neuron_whisper.artifact.key import compute_artifact_key, make_artifact_name
from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.artifact.manifest import FORMAT, Manifest, spec_to_data
from neuron_whisper.artifact.source_hash import graph_source_files, hash_sources
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.audio.clip import WINDOW_FRAMES
from neuron_whisper.audio.mel import SUPPORTED_N_MELS
from neuron_whisper.errors import CheckpointError, InvalidOption, TargetUnavailable
from neuron_whisper.host import hardware
from neuron_whisper.model.checkpoint import Checkpoint, open_checkpoint
from neuron_whisper.model.digests import hash_file
from neuron_whisper.model.dims import default_alignment_heads
from neuron_whisper.model.parameters import TOKEN_EMBEDDING, expected_shapes
from neuron_whisper.model.sharding import check_tp
from neuron_whisper.model.sources import find_local_model
from neuron_whisper.planning.compile_memory import choose_jobs, estimate_compile_memory
from neuron_whisper.planning.cost_model import DTYPE_BYTES
from neuron_whisper.planning.instances import describe_unlisted_tp
from neuron_whisper.profile import CompileProfile, find_profile_name
from neuron_whisper.target.cpu.encoder_scales import CACHE_FOLDER, find_scales, fingerprint_encoder, read_scales
from neuron_whisper.target.interfaces import CompileRequest, ProgramSpec, Progress, spec_from_profile
from neuron_whisper.target.registry import install_command, load_target, missing_packages
from neuron_whisper.text.tiktoken_import import find_packaged_ranks, tokenizer_json_from_tiktoken
from neuron_whisper.text.tokenizer import Tokenizer
from neuron_whisper.text.vocabulary import GENERATION_CONFIG_NAME, Vocabulary, read_vocabulary

log = logging.getLogger(__name__)

DEFAULT_FAMILY = "inf2"  # instance family when a Neuron artifact is compiled on another machine without an instance
WEIGHT_DTYPE_BYTES = {**DTYPE_BYTES, "int8": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSpec:
    """Everything that decides an artifact, before anything is compiled.

    The checkpoint's token embedding has the rows of `vocabulary`, in its order.
    """

    model: str
    checkpoint: Checkpoint
    vocabulary: Vocabulary
    profile: CompileProfile
    profile_name: str | None = None
    spec: ProgramSpec
    facts: Mapping[str, Any]
    key: str
    encoder_scales: Path | None = None

    @property
    def warning(self) -> str | None:
        """What the artifact lacks of its profile, and what to do; None when nothing."""
        if not self.profile.weights.encoder or self.encoder_scales is not None:
            return None
        return (
            f"weights.encoder: no scales of an 8-bit encoder are known for {self.model}, so that its encoder computes "
            f"in {self.profile.target.dtype}; make them with neuron-whisper calibrate -m {self.model} SPEECH..., then "
            "compile again"
        )

    @property
    def name(self) -> str:
        """The artifact's directory name."""
        return make_artifact_name(self.model, self.profile.target.name, self.profile.target.tp, self.key)

    @property
    def weights_bytes(self) -> int:
        """Memory of the parameters in an open session; an estimate.

        With 8-bit weights the encoder has those of the activations' type, and the token embedding 16 bit.
        """
        weights = self.profile.weights
        width = WEIGHT_DTYPE_BYTES[weights.dtype]
        encoder_width = WEIGHT_DTYPE_BYTES[weights.encoder or self.profile.target.dtype] if width == 1 else width
        encoder = decoder = 0
        for name, shape in expected_shapes(self.checkpoint.dims).items():
            if name.startswith("encoder."):
                encoder += math.prod(shape) * encoder_width
            elif name == TOKEN_EMBEDDING:
                decoder += math.prod(shape) * max(width, 2) * (1 + self.checkpoint.has_own_projection)
            else:
                decoder += math.prod(shape) * width
        copies = load_target(self.profile.target.name).decoder_copies(self.spec)
        encoders = 1 + len(self.spec.audio_contexts) + self.spec.skip_padding  # a graph for each length
        return encoders * encoder + copies * decoder

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


def plan_build(
    model: str,
    profile: CompileProfile,
    store: ArtifactStore,
    fetch: Callable[[], Path],
    *,
    cache: Path,
    profile_name: str | None = None,
    encoder_scales: Path | None = None,
) -> BuildSpec:
    """The build specification of a model by name, which `fetch` downloads where it is not on this machine.

    With model and artifact present nothing is looked up, also where a tokenizer is missing that the hub may have: it
    is asked before a compilation. The target, and the packages that compiling needs, are checked before anything is
    downloaded. Raises UnknownModel, FetchFailed, and as resolve_build_spec.
    """
    checked = resolve_profile_instance(profile)
    load_target(checked.target.name).toolchain()

    def resolve(path: Path) -> BuildSpec:
        checkpoint = open_checkpoint(path)
        return resolve_build_spec(
            model,
            checkpoint,
            checked,
            profile_name=profile_name,
            digest_cache=cache / "digests",
            scales_directory=cache / CACHE_FOLDER,
            encoder_scales=encoder_scales,
        )

    local = find_local_model(model, cache=cache)
    if local is None:
        check_compile_packages(checked.target.name)  # the artifact of a model that is here may be stored already
    store.directory.create()
    if local is not None:
        with suppress(CheckpointError):  # told of the whole model below
            build_spec = resolve(local)
            if store.find(build_spec.key) is not None:
                return build_spec
    return resolve(fetch())


def resolve_build_spec(
    model: str,
    checkpoint: Checkpoint,
    profile: CompileProfile,
    *,
    profile_name: str | None = None,
    digest_cache: Path | None = None,
    scales_directory: Path | None = None,
    encoder_scales: Path | None = None,
) -> BuildSpec:
    """Resolve spec, facts and key. Imports no torch. `profile_name` None: that of the packaged profile, if it is one.

    Scales of an 8-bit encoder are those of the file `encoder_scales`; None: they are looked for in `scales_directory`,
    then in the package.

    Raises InvalidOption (an impossible size, scales without an 8-bit encoder), TargetUnavailable with its install
    line, ScalesError, CheckpointError for a model that could not be served: its vocabulary contradicts itself, or its
    windows are not 30 s.
    """
    target = load_target(profile.target.name)
    check_tp(checkpoint.dims, profile.target.tp)
    check_window(checkpoint)
    if checkpoint.has_own_projection and target.name == "neuron":
        raise CheckpointError(
            checkpoint.path, "", expected="an output projection that is the token embedding, on Neuron", found="another"
        )
    vocabulary = read_vocabulary(checkpoint.directory, n_rows=checkpoint.dims.n_vocab, n_mels=checkpoint.dims.n_mels)
    checkpoint = checkpoint.select_tokens(vocabulary.rows)
    spec = replace(resolve_program_spec(checkpoint, profile), special=vocabulary.special)
    facts: dict[str, Any] = {
        "format": FORMAT,
        "graph_sources": hash_sources(graph_source_files(profile.target.name)),
        "checkpoint": checkpoint.compute_digests(digest_cache),
        "profile": _make_profile_facts(profile),
        "toolchain": dict(target.toolchain()),
    }
    scales = _find_encoder_scales(checkpoint, profile, scales_directory, encoder_scales)
    if scales is not None:
        facts["encoder_scales"] = hash_file(scales)
    if not vocabulary.is_openai_order:  # left out otherwise, so that artifacts from before keep their key
        facts["vocabulary"] = hashlib.sha256(json.dumps(list(vocabulary.rows)).encode()).hexdigest()
    return BuildSpec(
        model=model,
        checkpoint=checkpoint,
        vocabulary=vocabulary,
        profile=profile,
        profile_name=profile_name or find_profile_name(profile),
        spec=spec,
        facts=facts,
        key=compute_artifact_key(facts),
        encoder_scales=scales,
    )


def _find_encoder_scales(
    checkpoint: Checkpoint, profile: CompileProfile, directory: Path | None, given: Path | None
) -> Path | None:
    """The file of the model's scales, checked, where the profile wants an 8-bit encoder.

    Raises ScalesError, InvalidOption for a given file and a profile that has no use for it.
    """
    if not profile.weights.encoder:
        if given is not None:
            allowed = f"int8, which the scales in {given} are for; the profile cpu-fast has it"
            raise InvalidOption("weights.encoder", profile.weights.encoder, allowed)
        return None
    fingerprint = fingerprint_encoder(checkpoint)
    path = given or find_scales(fingerprint, directory)
    if path is not None:
        read_scales(path, checkpoint.dims, fingerprint)
    return path


def resolve_program_spec(checkpoint: Checkpoint, profile: CompileProfile) -> ProgramSpec:
    """The program's sizes: the profile's, cut to the model's text context. Raises InvalidOption."""
    heads = checkpoint.alignment_heads or default_alignment_heads(checkpoint.dims)
    return replace(spec_from_profile(checkpoint.dims, profile), alignment_heads=heads)


def check_window(checkpoint: Checkpoint) -> None:
    """Raises CheckpointError for a model whose windows no clip could be cut to."""
    dims = checkpoint.dims
    if dims.n_mels not in SUPPORTED_N_MELS:
        allowed = " or ".join(map(str, SUPPORTED_N_MELS))
        raise CheckpointError(checkpoint.path, "", expected=f"{allowed} mel bins", found=f"{dims.n_mels}")
    if dims.n_frames != WINDOW_FRAMES:
        raise CheckpointError(
            checkpoint.path, "", expected=f"windows of {WINDOW_FRAMES} frames (30 s)", found=f"{dims.n_frames} frames"
        )


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
    jobs: int | None = None,
    strict_memory: bool = False,
) -> Artifact:
    """The spec's artifact: the stored one, or compiled now. `on_wait` is called when another process compiles it.

    `jobs` and `strict_memory` are Neuron's: planning/compile_memory.choose_jobs. Raises BuildError (HostMemoryTooSmall
    with `strict_memory`), ArtifactUnsafe, TargetUnavailable. Nothing half-written stays in the store.
    """
    if (stored := store.find(build_spec.key)) is not None:
        return stored
    target = load_target(build_spec.profile.target.name)
    with store.lock_compile(build_spec.key, on_wait):
        if (stored := store.find(build_spec.key)) is not None:  # the one we waited for
            return stored
        jobs_at_once = _choose_jobs(build_spec, jobs, strict_memory)
        if build_spec.warning:
            log.warning("%s", build_spec.warning)
        with store.stage(build_spec.name) as staging, store.scratch(build_spec.key) as scratch:
            _write_tokenizer(build_spec, staging.path)
            with _golden_beside(build_spec, progress) as (golden, checked_progress):
                target.compile(
                    CompileRequest(
                        spec=build_spec.spec,
                        profile=build_spec.profile,
                        checkpoint=build_spec.checkpoint,
                        directory=staging.path,
                        progress=checked_progress,
                        jobs=jobs_at_once,
                        scratch=scratch,
                        compile_cache=store.directory.compile_cache,
                        encoder_scales=build_spec.encoder_scales,
                    )
                )
                write_golden(golden.result(), staging.path)
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


def _choose_jobs(build_spec: BuildSpec, jobs: int | None, strict_memory: bool) -> int:
    """Number of graphs compiled at once, 0: as many as the target likes. Logs what is doubtful of memory and tp."""
    if build_spec.profile.target.name != "neuron":
        return 0
    chosen = choose_jobs(
        estimate_compile_memory(build_spec.spec, build_spec.profile),
        hardware.read_memory_bytes()[1],
        jobs=jobs,
        strict_memory=strict_memory,
    )
    from neuron_whisper.target.neuron.instance import instance_family

    target = build_spec.profile.target
    unlisted = describe_unlisted_tp(instance_family(target.instance), target.tp)
    for sentence in filter(None, (chosen.warning, unlisted)):
        log.warning("%s", sentence)
    return chosen.jobs


@contextmanager
def _golden_beside(build_spec: BuildSpec, progress: Progress) -> Iterator[tuple[Future[GoldenTokens], Progress]]:
    """The golden tokens, made in a thread beside the lowering, and a `progress` that raises what they failed at.

    They are complete before a compilation that takes minutes: what a wrong checkpoint fails at costs none of it.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="golden") as thread:
        progress("golden tokens", 0, None)
        golden = thread.submit(_make_finite_golden, build_spec)
        if build_spec.profile.target.name != "cpu":
            golden.result()

        def checked_progress(what: str, done: int, total: int | None) -> None:
            if golden.done():
                golden.result()
            progress(what, done, total)

        yield golden, checked_progress


def _make_finite_golden(build_spec: BuildSpec) -> GoldenTokens:
    """The reference's tokens. Raises CheckpointError for weights with which it has none, naming the first of them."""
    checkpoint = build_spec.checkpoint
    golden = make_golden(checkpoint, build_spec.spec, build_spec.profile)
    if all(map(math.isfinite, (*golden.logprobs, *golden.margins))):
        return golden
    for name in checkpoint.parameter_names:
        if not np.isfinite(checkpoint.tensor(name)).all():
            raise CheckpointError(checkpoint.path, name, expected="finite values", found="NaN or infinity")
    raise CheckpointError(
        checkpoint.path, "", expected="weights that give finite log-probabilities", found="NaN or infinity"
    )


def _write_tokenizer(build_spec: BuildSpec, directory: Path) -> None:
    """tokenizer.json, and generation_config.json where the model suppresses other tokens than openai/whisper does.

    Raises CheckpointError when the tokenizer is not one of the model's vocabulary.
    """
    path = directory / "tokenizer.json"
    path.write_bytes(_make_tokenizer_json(build_spec))
    tokenizer = Tokenizer.from_layout(path, build_spec.spec.special)
    if build_spec.checkpoint.suppress_tokens is not None:
        tokens = build_spec.vocabulary.to_program_ids(build_spec.checkpoint.suppress_tokens)
        text_tokens = tuple(token for token in tokens if token < tokenizer.special.eot)
        if text_tokens != tokenizer.non_speech_tokens:
            settings = {"suppress_tokens": text_tokens}
            (directory / GENERATION_CONFIG_NAME).write_text(json.dumps(settings) + "\n")


def _make_tokenizer_json(build_spec: BuildSpec) -> bytes:
    """The checkpoint's own, one made of its other files, or the one of openai-whisper's vocabulary."""
    checkpoint, vocabulary = build_spec.checkpoint, build_spec.vocabulary
    if checkpoint.tokenizer_file is not None and vocabulary.is_openai_order:
        return checkpoint.tokenizer_file.read_bytes()
    text = vocabulary.to_tokenizer_json()
    if text is None:
        special = vocabulary.special
        text = tokenizer_json_from_tiktoken(find_packaged_ranks(special.is_multilingual), special.n_vocab)
    return text.encode()
