"""`bench`: accuracy and speed of models, profiles, artifacts and peers, side by side in one run."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from neuron_whisper.cli.building import DEFAULT_MODEL, build_artifact, fetch_model, plan_artifact
from neuron_whisper.cli.completion import complete_artifacts, complete_models, complete_peers, complete_profiles
from neuron_whisper.cli.context import CliContext, with_context
from neuron_whisper.cli.profiles import DEFAULT_PROFILE, distinct_profiles, parse_overrides, resolve_profile
from neuron_whisper.errors import InvalidOption, TargetUnavailable
from neuron_whisper.host import hardware

if TYPE_CHECKING:
    from neuron_whisper.artifact.loader import Artifact
    from neuron_whisper.bench.accuracy.report import SkippedSystem
    from neuron_whisper.bench.accuracy.run import System
    from neuron_whisper.bench.engines.config import DecodingConfig

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("speech", nargs=-1, required=True, metavar="SPEECH...", type=click.Path(path_type=Path, exists=True))
@click.option(
    "-m",
    "--model",
    "models",
    panel="Systems",
    shell_complete=complete_models,
    multiple=True,
    metavar="NAME",
    help="Model that is compiled with each profile and that peers run; may be repeated.  "
    f"[default: {DEFAULT_MODEL}, unless artifacts are given]",
)
@click.option(
    "-a",
    "--artifact",
    "artifacts",
    panel="Systems",
    shell_complete=complete_artifacts,
    multiple=True,
    metavar="REF",
    help="Stored artifact; may be repeated.",
)
@click.option(
    "--profile",
    "profiles",
    panel="Systems",
    shell_complete=complete_profiles,
    multiple=True,
    metavar="NAME|FILE",
    help=f"Compile profile for each --model; may be repeated.  [default: {DEFAULT_PROFILE}]",
)
@click.option(
    "--set",
    "assignments",
    panel="Systems",
    multiple=True,
    metavar="TABLE.KEY=VALUE",
    help="Override one key of every profile.",
)
@click.option(
    "--peer",
    "peers",
    panel="Systems",
    shell_complete=complete_peers,
    multiple=True,
    metavar="NAME[:VARIANT]",
    help="Peer to measure: faster-whisper, faster-whisper-batched (:int8, :float32, ...), openai-whisper, "
    "openvino-genai (:int8, :float32), whisper.cpp (:f16, :q8_0), nxdi-whisper (:float16, :float32, :float16-tp2, "
    "...); may be repeated. A peer that is not installed is listed as skipped.",
)
@click.option(
    "--peer-python",
    "peer_pythons",
    panel="Systems",
    multiple=True,
    metavar="[NAME=]PYTHON",
    help="Python interpreter that has a peer, or all peers, installed.  [default: this one]",
)
@click.option("-l", "--language", panel="Speech", metavar="CODE", help="Measure only the clips in this language.")
@click.option("--detect", panel="Speech", is_flag=True, help="Ignore the manifest's language and detect it.")
@click.option(
    "--where",
    panel="Speech",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Measure only rows with this value, e.g. kind=real.",
)
@click.option(
    "--skip", panel="Speech", multiple=True, metavar="PATTERN", help="Skip files whose name matches, e.g. fmt_*."
)
@click.option(
    "--limit", panel="Speech", type=click.IntRange(min=1), metavar="N", help="Measure only the first N clips."
)
@click.option(
    "--beam-size",
    panel="Decoding",
    type=click.IntRange(min=1),
    metavar="N",
    help="Beams at temperature 0.  [default: greedy]",
)
@click.option(
    "--temperature",
    panel="Decoding",
    metavar="T,T...",
    default="0,0.2,0.4,0.6,0.8,1",
    show_default=True,
    help="Sampling temperature, or a comma-separated fallback sequence; 0 = no fallback.",
)
@click.option(
    "--no-condition-on-previous-text",
    "no_condition",
    panel="Decoding",
    is_flag=True,
    help="Do not prompt a window with the previous window's text.",
)
@click.option(
    "--long-form",
    "long_forms",
    panel="Systems",
    multiple=True,
    metavar="PLAN",
    help="Long-form plan of neuron-whisper: auto, sequential or batched; may be repeated.  [default: auto]",
)
@click.option(
    "--no-extras",
    panel="Systems",
    is_flag=True,
    help="Run neuron-whisper without what openai-whisper lacks: voice activity detection, repetition truncation.",
)
@click.option(
    "--streams",
    panel="Measurement",
    metavar="N,N...",
    help="Also measure throughput with this many clips at once, e.g. 1,8.",
)
@click.option(
    "--runs",
    panel="Measurement",
    metavar="N",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Number of runs; medians are reported.",
)
@click.option(
    "--one-at-a-time",
    "one_at_a_time",
    panel="Measurement",
    is_flag=True,
    help="Load a system when the one before has ended, where NeuronCores or memory hold no two; without turns.",
)
@click.option(
    "--threads",
    panel="Measurement",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Threads per system; 0 = all cores.",
)
@click.option(
    "--json", "json_file", panel="Reports", type=FILE, metavar="FILE", help="Write the full report as JSON to FILE."
)
@click.option(
    "--markdown",
    "markdown_file",
    panel="Reports",
    type=FILE,
    metavar="FILE",
    help="Write tables and texts as Markdown to FILE.",
)
@click.option(
    "--picture",
    "picture_file",
    panel="Reports",
    type=FILE,
    metavar="FILE",
    help="Write an SVG chart of RTF and WER to FILE.",
)
@with_context
def bench(
    context: CliContext,
    speech: tuple[Path, ...],
    models: tuple[str, ...],
    artifacts: tuple[str, ...],
    json_file: Path | None,
    markdown_file: Path | None,
    picture_file: Path | None,
    **flags: Any,
) -> None:
    """Measure error rates, speed, latency and memory on SPEECH, next to peers on the same weights.

    SPEECH is a manifest (.tsv, .csv or .jsonl with path, text and language) or a directory of audio with a .txt for
    each file. Every system runs in a process of its own, with the same threads, on the same decoded audio; systems
    take turns in every run. The table goes to stdout.
    """
    from neuron_whisper.bench.accuracy.manifest import RowFilter, read_utterances
    from neuron_whisper.bench.accuracy.markdown import format_markdown, format_summary
    from neuron_whisper.bench.accuracy.metrics import count_word_errors
    from neuron_whisper.bench.accuracy.report import build_report
    from neuron_whisper.bench.accuracy.run import Measurement
    from neuron_whisper.bench.accuracy.run_facts import describe_run
    from neuron_whisper.bench.accuracy.svg_chart import draw_svg

    count_word_errors("a", "b", "en")  # a missing package fails here, not after the measurement
    row_filter = RowFilter(
        language=flags["language"],
        where=tuple(_parse_pair(text) for text in flags["where"]),
        skip=flags["skip"],
        limit=flags["limit"],
    )
    utterances, n_without_text = read_utterances(speech, row_filter)
    if n_without_text:
        context.info(f"{n_without_text} recordings have no text and are skipped")
    selection = _BenchSelection.from_flags(context, models, artifacts, flags)
    streams = _parse_streams(flags["streams"])
    systems, skipped = selection.prepare_systems()
    if not systems:
        raise TargetUnavailable("bench", f"no system to measure: {'; '.join(it.reason for it in skipped)}")
    measurement = Measurement(
        systems=systems,
        speech=utterances,
        runs=flags["runs"],
        streams=streams,
        detect_language=flags["detect"],
        one_at_a_time=flags["one_at_a_time"],
        log=context.info,
    )
    load, *_ = os.getloadavg()  # of other processes
    clips, results = measurement.measure()
    run_facts = describe_run(
        systems,
        selection.decoding,
        threads=selection.threads,
        runs=flags["runs"],
        detects_language=flags["detect"],
        one_at_a_time=flags["one_at_a_time"],
        load=load,
    )
    report = build_report(clips, results, skipped, run_facts)
    as_json = json.dumps(report, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    for file, content in (
        (json_file, as_json),
        (markdown_file, format_markdown(report)),
        (picture_file, draw_svg(report)),
    ):
        if file is not None:
            file.write_text(content, encoding="utf-8")
    click.echo(format_summary(report), nl=False)
    failed = [result for result in results if result.error and result.system.is_ours]
    if failed:
        raise TargetUnavailable(failed[0].system.name, failed[0].error)


# --- what is measured -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _BenchSelection:
    """The systems that the flags select."""

    context: CliContext
    models: tuple[str, ...]
    artifacts: tuple[str, ...]
    profiles: tuple[str, ...]
    overrides: dict[str, object]
    peers: tuple[str, ...]
    pythons: dict[str, str]
    long_forms: tuple[str, ...]
    decoding: DecodingConfig
    threads: int

    @classmethod
    def from_flags(
        cls, context: CliContext, models: tuple[str, ...], artifacts: tuple[str, ...], flags: dict[str, Any]
    ) -> _BenchSelection:
        """Raises InvalidOption."""
        from neuron_whisper.bench.engines.config import DecodingConfig
        from neuron_whisper.bench.engines.peers import parse_peer, parse_peer_pythons
        from neuron_whisper.decode.options import TranscribeOptions

        decoding = DecodingConfig(
            beam_size=flags["beam_size"],
            temperature=_parse_numbers("--temperature", flags["temperature"], float),
            condition_on_previous_text=not flags["no_condition"],
            extras=not flags["no_extras"],
        )
        peers = tuple(dict.fromkeys(flags["peers"]))
        for peer_spec in peers:  # refused before anything is compiled
            parse_peer(peer_spec)
        long_forms = tuple(dict.fromkeys(flags["long_forms"])) or ("auto",)
        for plan in long_forms:  # refused here rather than by each system
            TranscribeOptions(beam_size=decoding.beam_size, temperature=decoding.temperature, long_form=plan)
        if artifacts and not models and (flags["profiles"] or flags["assignments"]):
            raise click.UsageError("--profile and --set apply to a --model; an --artifact has its own profile.")
        return cls(
            context=context,
            models=models or (() if artifacts else (DEFAULT_MODEL,)),
            artifacts=artifacts,
            profiles=distinct_profiles(flags["profiles"]) or (DEFAULT_PROFILE,),
            overrides=parse_overrides(flags["assignments"]),
            peers=peers,
            pythons=parse_peer_pythons(flags["peer_pythons"]),
            long_forms=long_forms,
            decoding=decoding,
            threads=flags["threads"] or hardware.count_usable_cores(),
        )

    def prepare_systems(self) -> tuple[list[System], list[SkippedSystem]]:
        """(systems, skipped peers): our systems first, compiled where they are not, then the available peers.

        Raises any error of building or storing our artifacts.
        """
        from neuron_whisper.bench.accuracy.run import System

        systems = [
            self._own_system(artifact, label, plan)
            for label, artifact in self._prepare_artifacts()
            for plan in self.long_forms
        ]
        models = dict.fromkeys((*self.models, *(system.model for system in systems)))
        skipped: list[SkippedSystem] = []
        for model in models if self.peers else ():
            for peer_spec in self.peers:
                prepared = self._prepare_peer(peer_spec, model)
                if isinstance(prepared, System):
                    systems.append(prepared)
                else:
                    skipped.append(prepared)
        return systems, list({(it.name, it.reason): it for it in skipped}.values())

    def _prepare_artifacts(self) -> Iterator[tuple[str, Artifact]]:
        """(label, artifact) of each system of ours; labels differ."""
        for reference in self.artifacts:
            artifact = self.context.store().resolve(reference)
            yield artifact.name, artifact
        for model in self.models:
            for name in self.profiles:
                profile = resolve_profile(name, overrides=self.overrides)
                beams = self.decoding.beam_size or 1
                if profile.shapes.beams < beams:
                    profile = resolve_profile(name, overrides=self.overrides | {"shapes.beams": beams})
                plan = plan_artifact(self.context, model, profile)
                yield f"{Path(model).name} {Path(name).stem}", build_artifact(self.context, plan)

    def _own_system(self, artifact: Artifact, label: str, plan: str) -> System:
        from neuron_whisper.bench.accuracy.run import System
        from neuron_whisper.bench.engines.config import EngineConfig

        return System(
            name=f"neuron-whisper {label}" + f" {plan}" * (plan != "auto"),
            model=artifact.manifest.model,
            python=sys.executable,
            config=EngineConfig(
                engine="neuron-whisper",
                variant=plan,
                source=str(artifact.path),
                threads=self.threads,
                decoding=self.decoding,
                is_multilingual=artifact.spec.special.is_multilingual,
                cache=str(self.context.cache),
            ),
            facts={
                "artifact": artifact.name,
                "artifact_key": artifact.key,
                "profile": artifact.profile.to_canonical(),
                "toolchain": artifact.manifest.facts["toolchain"],
            },
        )

    def _prepare_peer(self, peer_spec: str, model: str) -> System | SkippedSystem:
        """The peer on the model's weights in its own format, or why it is skipped."""
        from neuron_whisper.bench.accuracy.report import SkippedSystem
        from neuron_whisper.bench.accuracy.run import System
        from neuron_whisper.bench.engines.peers import parse_peer
        from neuron_whisper.bench.engines.prepare_peer import prepare_peer
        from neuron_whisper.model.checkpoint import open_checkpoint

        peer, variant = parse_peer(peer_spec)
        name = f"{peer.name} {Path(model).name} {variant}"
        try:
            ready = prepare_peer(
                peer_spec,
                open_checkpoint(fetch_model(self.context, model)),
                cache=self.context.cache,
                pythons=self.pythons,
                threads=self.threads,
                decoding=self.decoding,
                log=self.context.info,
            )
        except TargetUnavailable as error:
            return SkippedSystem(name=name, reason=error.reason, install=error.install)
        return System(name=name, model=model, config=ready.config, python=ready.python, facts=dict(ready.facts))


# --- flags ----------------------------------------------------------------------------------------


def _parse_pair(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals or not column:
        raise InvalidOption("--where", text, "COLUMN=VALUE, as kind=real")
    return column, value


def _parse_numbers(flag: str, text: str, kind: type[Any]) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise InvalidOption(flag, text, "numbers with commas between them") from None


def _parse_streams(text: str | None) -> tuple[int, ...]:
    counts = _parse_numbers("--streams", text, int) if text else ()
    if any(n < 1 for n in counts):
        raise InvalidOption("--streams", text, "whole numbers from 1, with commas between them")
    return tuple(dict.fromkeys(counts))
