"""`demo`: checks the machine, fetches a model, compiles it, serves it and transcribes a recording, each step shown."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import rich_click as click

from neuron_whisper.cli.building import build_artifact, fetch_model, plan_artifact
from neuron_whisper.cli.completion import complete_models, complete_profiles
from neuron_whisper.cli.context import LOGGER, CliContext, with_context
from neuron_whisper.cli.demo.speech import DemoRecording, find_entry, find_recording, language_of
from neuron_whisper.cli.demo.stages import StageLog
from neuron_whisper.cli.output.tables import echo_record, format_bytes
from neuron_whisper.cli.profiles import DEFAULT_PROFILE, resolve_profile
from neuron_whisper.errors import InvalidOption, OutputUnwritable, TargetUnavailable
from neuron_whisper.host import hardware

if TYPE_CHECKING:
    from neuron_whisper.artifact.loader import Artifact
    from neuron_whisper.bench.process.server import ServerProcess
    from neuron_whisper.cli.doctor import Check
    from neuron_whisper.profile import CompileProfile

STAGES = ("check", "fetch", "compile", "speech", "serve", "transcribe", "stop")
REQUESTS = 3  # the first is left out of RTF
NEURON_REPORT = Path("neuron-whisper-demo.md")
# checks that a demo on Neuron cannot do without; the packages of the target are checked by loading it
NEEDED_ON_NEURON = ("packages", "cache", "Neuron SDK", "Neuron driver")
NO_DEVICE = (
    "there is no /dev/neuron*: take an inf2 or trn1 instance and load its driver (aws-neuronx-dkms). Compiling alone "
    "needs no device: neuron-whisper compile --target neuron --instance inf2"
)


@click.command()
@click.option(
    "-m",
    "--model",
    shell_complete=complete_models,
    default="tiny.en",
    show_default=True,
    metavar="NAME",
    help="Model to show.",
)
@click.option("--target", metavar="NAME", help="Target: cpu or neuron.  [default: the profile's, else cpu]")
@click.option(
    "--profile",
    shell_complete=complete_profiles,
    metavar="NAME|FILE",
    help="Compile profile.  [default: cpu; on Neuron the one of the model and this instance]",
)
@click.option(
    "--speech",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Recording to transcribe.  [default: one that is found, or a packaged one, in the model's language]",
)
@click.option(
    "--report",
    "reports",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a report to attach to an issue: JSON if FILE ends in .json, else Markdown; may be repeated.  "
    f"[default: {NEURON_REPORT} on Neuron, else none]",
)
@with_context
def demo(
    context: CliContext,
    model: str,
    target: str | None,
    profile: str | None,
    speech: Path | None,
    reports: tuple[Path, ...],
) -> None:
    """Check this machine, fetch a model, compile it, serve it, and transcribe a recording over HTTP.

    The report names versions, instance, driver, profile, artifact, the time of each stage, the text, warnings and the
    error of a stage that failed. Home directories, the host's name and secrets are left out.
    """
    name, selected = select_profile(model, target, profile)
    for path in reports:
        if not path.absolute().parent.is_dir():
            raise InvalidOption("--report", str(path), "a file in a directory that exists")
    stages = StageLog(STAGES)
    facts: dict[str, Any] = {"model": model, "profile_name": name, "profile": selected.to_canonical()}
    files = reports or ((NEURON_REPORT,) if selected.target.name == "neuron" else ())
    with _written_report(context, files, stages, facts), stages.collect_warnings(LOGGER):
        with stages.run("check") as stage:
            stage.found = check_machine(context, model, selected, facts)
        with stages.run("fetch") as stage:
            checkpoint = fetch_model(context, model)
            stage.found = "the checkpoint is here"
            context.info(f"model: {model} in {checkpoint}")
        with stages.run("compile") as stage:
            artifact = _compile(context, model, selected, facts)
            stage.found = artifact.name + ", stored already" * facts["artifact"]["was_stored"]
            context.info(f"artifact: {artifact.name}")
        with stages.run("speech") as stage:
            recording = _load_speech(context, model, speech, facts)
            stage.found = facts["speech"]["origin"]
        _serve_and_transcribe(context, artifact, recording.path, stages, facts)
    _echo_result(facts, recording.origin, format_page_command(artifact.path, recording.path.absolute().parent))


def select_profile(model: str, target: str | None, profile: str | None) -> tuple[str, CompileProfile]:
    """The profile of the flags, and its name. Raises ProfileError, InvalidOption."""
    from neuron_whisper.profile import follow_renaming
    from neuron_whisper.target.neuron.instance import read_product_name
    from neuron_whisper.target.registry import target_names

    if target is not None and target not in target_names():
        raise InvalidOption("--target", target, f"one of {', '.join(target_names())}")
    if profile is None and target == "neuron":
        profile = find_neuron_profile(model, read_product_name())
    if profile is None and target is None:
        profile = DEFAULT_PROFILE
    name = follow_renaming(profile) if profile else f"the default profile of target {target}"
    return name, resolve_profile(profile, target)


def find_neuron_profile(model: str, instance: str) -> str | None:
    """The packaged profile for a model and an instance type, of most cores on a window; None where there is none.

    ("kotoba-v2.2", "inf2.xlarge") -> "neuron-kotoba-v2-inf2.xlarge-tp2": its graphs take least memory to compile.
    """
    from neuron_whisper.profile import list_profiles

    if not instance:
        return None
    entry = find_entry(model)
    name = entry.name if entry else model
    form = re.compile(rf"neuron-(?P<model>.+)-{re.escape(instance)}-tp(?P<tp>\d+)")
    found = [match for it in list_profiles() if (match := form.fullmatch(it)) and _is_of(name, match["model"])]
    best = max(found, key=lambda match: (len(match["model"]), int(match["tp"])), default=None)
    return best[0] if best else None


def _is_of(model: str, family: str) -> bool:
    """Whether a profile for "kotoba-v2" is one for "kotoba-v2.2"."""
    return model == family or model.startswith(f"{family}.")


# --- stages ---------------------------------------------------------------------------------------


def check_machine(context: CliContext, model: str, profile: CompileProfile, facts: dict[str, Any]) -> str:
    """Run `doctor`'s checks and load the target; what it found. Raises TargetUnavailable, with what to install."""
    from neuron_whisper.build import check_compile_packages
    from neuron_whisper.cli.doctor import run_checks
    from neuron_whisper.model.sources import find_local_model
    from neuron_whisper.target.registry import load_target

    checks = list(run_checks(context))
    facts["checks"] = [asdict(check) for check in checks]
    toolchain = load_target(profile.target.name).toolchain()
    if profile.target.name == "neuron":
        _check_neuron(checks, toolchain)
    if find_local_model(model, cache=context.cache) is None:  # refused before anything is downloaded
        check_compile_packages(profile.target.name)
    return ", ".join(f"{package} {text}" for package, text in toolchain.items())


def _check_neuron(checks: Sequence[Check], toolchain: Mapping[str, str]) -> None:
    """Raises TargetUnavailable where the demo would fail later, in the runtime's own words."""
    from neuron_whisper.target.neuron.sdk import is_simulated

    for check in checks:
        if check.name in NEEDED_ON_NEURON and check.verdict == "fail":
            raise TargetUnavailable("neuron", f"{check.name}: {check.found}; {check.advice}")
    if not hardware.list_neuron_devices() and not is_simulated(toolchain):
        raise TargetUnavailable("neuron", NO_DEVICE)


def _compile(context: CliContext, model: str, profile: CompileProfile, facts: dict[str, Any]) -> Artifact:
    """When each step began is noted: of a failed compilation the last is the one that failed."""
    plan = plan_artifact(context, model, profile)
    facts["profile"] = plan.profile.to_canonical()  # with the instance's family
    is_stored = context.store().find(plan.key) is not None
    steps: list[dict[str, Any]] = []
    facts["compile_steps"] = steps
    started = time.perf_counter()

    def note_step(what: str, done: int, total: int | None) -> None:
        if not steps or (what, done) != (steps[-1]["step"], steps[-1]["done"]):
            at_s = round(time.perf_counter() - started, 2)
            steps.append({"at_s": at_s, "step": what, "done": done, "total": total})

    artifact = build_artifact(context, plan, on_step=note_step)
    facts["artifact"] = {
        "name": artifact.name,
        "key": artifact.key,
        "size_bytes": artifact.size_bytes,
        "was_stored": is_stored,
        "toolchain": dict(artifact.manifest.facts["toolchain"]),
    }
    return artifact


def _load_speech(context: CliContext, model: str, speech: Path | None, facts: dict[str, Any]) -> DemoRecording:
    """The recording, decoded once: what it is from is reported, of the user's own its name."""
    from neuron_whisper.audio.load import load_audio

    recording = find_recording(context, speech, language_of(model))
    duration_s = load_audio(recording.path).duration_s
    origin = recording.origin if speech is None else speech.name
    facts["speech"] = {"origin": origin, "audio_s": round(duration_s, 3)}
    context.info(f"speech: {recording.origin}")
    return recording


def _serve_and_transcribe(
    context: CliContext, artifact: Artifact, recording: Path, stages: StageLog, facts: dict[str, Any]
) -> None:
    from neuron_whisper.cli.demo.serving import run_server

    with ExitStack() as stack:
        with stages.run("serve") as stage:
            server = stack.enter_context(run_server(context, artifact.name))
            stage.found = "ready"
            context.info(f"server: {server.url}")
        with stages.run("transcribe") as stage, _noted_log(server, stages):
            facts["result"] = _transcribe(server, recording, facts["speech"]["audio_s"], stages)
            stage.found = f"RTF {facts['result']['rtf']:.4f}"
        with stages.run("stop"):
            stack.close()
    context.info("server: stopped")


def _transcribe(server: ServerProcess, recording: Path, duration_s: float, stages: StageLog) -> dict[str, Any]:
    """What the requests gave; RTF is of the median without the first."""
    from neuron_whisper.cli.demo.serving import read_graph_times, transcribe_file

    answers, seconds = [], []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        answers.append(transcribe_file(server.url, recording))
        seconds.append(time.perf_counter() - started)
    for warning in answers[-1].get("warnings", ()):
        stages.warn(str(warning))
    return {
        "text": str(answers[-1]["text"]).strip(),
        "texts_vary": len({answer["text"] for answer in answers}) > 1,
        "seconds": [round(it, 4) for it in seconds],
        "rtf": round(median(seconds[1:]) / duration_s, 5),
        "graphs": read_graph_times(server.url),
        "server_peak_bytes": server.peak_memory_bytes(),
    }


@contextmanager
def _noted_log(server: ServerProcess, stages: StageLog) -> Iterator[None]:
    """Keep the warnings of the server's log, and its end as a note of an error of the block."""
    from neuron_whisper.bench.process.server import LOG_NOTE_CHARACTERS

    try:
        yield
    except BaseException as error:
        error.add_note(server.read_log()[-LOG_NOTE_CHARACTERS:])
        raise
    finally:
        for warning in _list_log_warnings(server.read_log()):
            stages.warn(warning)


def _list_log_warnings(log: str) -> Iterator[str]:
    """ "WARNING neuron_whisper.x: the text" of a server's log -> "the text" """
    for match in re.finditer(r"^(?:\S+ \S+ )?(?:WARNING|ERROR) [\w.]+: (.+)$", log, re.MULTILINE):
        yield match[1]


# --- what is shown and written --------------------------------------------------------------------


@contextmanager
def _written_report(
    context: CliContext, files: Sequence[Path], stages: StageLog, facts: dict[str, Any]
) -> Iterator[None]:
    """Write the report to each file when the block has ended, also by an error. Raises OutputUnwritable."""

    def write() -> None:
        from neuron_whisper.cli.demo.report import build_report, write_report

        document = build_report(stages, facts, os.environ) if files else {}
        for path in files:
            write_report(document, path)
            context.info(f"report: {path}")

    try:
        yield
    except BaseException:
        with suppress(OutputUnwritable):  # the error that ended the demo says more
            write()
        raise
    write()


def format_page_command(artifact: Path, samples: Path) -> str:
    """How the page is opened on this artifact, with the recordings of a directory to try."""
    command = shlex.join(["neuron-whisper", "serve", "--artifact", str(artifact), "--samples-dir", str(samples)])
    return f"{command}, then open http://127.0.0.1:8000/"


def _echo_result(facts: dict[str, Any], origin: str, page_command: str) -> None:
    result, speech, artifact = facts["result"], facts["speech"], facts["artifact"]
    echo_record(
        [
            ("transcript", result["text"]),
            ("speech", origin),
            ("audio", f"{speech['audio_s']:.2f} s"),
            ("time", f"{median(result['seconds'][1:]):.2f} s over HTTP (the first time {result['seconds'][0]:.2f} s)"),
            ("RTF", f"{result['rtf']:.3f}"),
            ("memory", f"{format_bytes(result['server_peak_bytes'])} of the server"),
            ("artifact", artifact["name"]),
            ("key", artifact["key"]),
            ("page", page_command),
        ]
    )
