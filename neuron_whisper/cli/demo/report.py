"""The report of a demo, to attach to an issue: where it ran, what each stage took, the text, what went wrong."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neuron_whisper import __version__
from neuron_whisper.bench.accuracy.run_facts import describe_machine
from neuron_whisper.bench.reporting.markdown import DASH, format_table
from neuron_whisper.cli.demo.public_text import HIDDEN, PublicText
from neuron_whisper.cli.demo.stages import Stage, StageLog
from neuron_whisper.errors import OutputUnwritable
from neuron_whisper.host import hardware
from neuron_whisper.host.atomic_files import write_atomically
from neuron_whisper.target.neuron.compatibility import find_runtime_version, read_driver_version
from neuron_whisper.target.neuron.instance import read_product_name
from neuron_whisper.target.neuron.sdk import UNKNOWN, detect_sdk, installed_versions, is_simulated

FORMAT = 1
SIMULATED = "The Neuron packages are those of the simulator: no time here says anything of a device."
ADDRESS_VARIABLE = "NEURON_RT_ROOT_COMM_ID"  # address and port of a machine
NEURON_VARIABLES = "NEURON_"  # how variables of the runtime, the compiler and its cache begin


def build_report(
    stages: StageLog, facts: Mapping[str, Any], environment: Mapping[str, str], public: PublicText | None = None
) -> dict[str, Any]:
    """The report as plain data, without secrets, home directories and the host's name.

    `facts` are what the stages learned, as far as they came: model, profile, checks, artifact, speech, result.
    """
    failed = stages.failed
    document = {
        "format": FORMAT,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "neuron_whisper": __version__,
        "command": shlex.join(["neuron-whisper", *sys.argv[1:]]),
        "outcome": f"failed at {failed.name}" if failed else "ok",
        "error": _describe_error(failed) if failed else None,
        "stages": [
            {
                "name": stage.name,
                "state": stage.state,
                "seconds": None if stage.seconds is None else round(stage.seconds, 3),
                "found": stage.found,
            }
            for stage in stages.stages.values()
        ],
        **facts,
        "warnings": stages.warnings,
        "machine": _describe_system(),
        "neuron": _describe_neuron(environment),
    }
    rewritten: dict[str, Any] = (public or PublicText(environment)).rewrite_all(document)
    return rewritten


def _describe_error(stage: Stage) -> dict[str, str]:
    return {"stage": stage.name, "kind": stage.error_kind, "message": stage.error, "log": stage.log}


def _describe_system() -> dict[str, Any]:
    try:
        release = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        release = ""
    return {
        "instance": read_product_name(),
        **describe_machine(),
        "system": f"{platform.system()} {platform.release()}",
        "distribution": release,
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
    }


def _describe_neuron(environment: Mapping[str, str]) -> dict[str, Any]:
    versions = {package: text for package, text in installed_versions().items() if text != UNKNOWN}
    return {
        "devices": list(hardware.list_neuron_devices()),
        "driver": read_driver_version(),
        "runtime": find_runtime_version(),
        "sdk": detect_sdk(versions).name,
        "packages": versions,
        "simulated": is_simulated(versions),
        "environment": {
            name: HIDDEN if name == ADDRESS_VARIABLE else value
            for name, value in sorted(environment.items())
            if name.startswith(NEURON_VARIABLES)
        },
    }


def write_report(document: Mapping[str, Any], path: Path) -> None:
    """As JSON where the name ends in .json, else as Markdown that holds the JSON too. Raises OutputUnwritable."""
    text = format_json(document) if path.suffix == ".json" else format_markdown(document)
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise OutputUnwritable(path, error) from error


def format_json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def format_markdown(document: Mapping[str, Any]) -> str:
    """Ends in a newline."""
    parts = [
        f"# neuron-whisper demo: {document['outcome']}",
        *([SIMULATED] if document["neuron"]["simulated"] else []),
        *_format_error(document),
        format_table(["", ""], _list_facts(document), left=2),
        "## Stages",
        _format_stages(document),
        *_format_compile_steps(document),
        *_format_result(document),
        *_format_warnings(document),
        *_format_checks(document),
        "<details><summary>The report as JSON</summary>",
        _fence(format_json(document).rstrip(), "json"),
        "</details>",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _fence(text: str, language: str = "text") -> str:
    """A block of code, whose fence is longer than any in the text."""
    longest = max((len(run) for run in _runs_of(text, "`")), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def _runs_of(text: str, character: str) -> Iterator[str]:
    run = ""
    for one in text:
        run = run + one if one == character else ""
        yield run


def _format_error(document: Mapping[str, Any]) -> Iterator[str]:
    if error := document["error"]:
        yield _fence(f"{error['kind']} at {error['stage']}:\n{error['message']}")
        if error["log"]:
            yield "<details><summary>The end of the log</summary>"
            yield _fence(error["log"])
            yield "</details>"


def _list_facts(document: Mapping[str, Any]) -> Iterator[Sequence[object]]:
    machine, neuron = document["machine"], document["neuron"]
    artifact, result, speech = (document.get(name) or {} for name in ("artifact", "result", "speech"))
    packages = ", ".join(f"{name} {text}" for name, text in neuron["packages"].items())
    yield "date", document["date"]
    yield "version", f"neuron-whisper {document['neuron_whisper']}, Python {machine['python']}"
    yield "command", f"`{document['command']}`"
    yield "model", document.get("model", DASH)
    yield "profile", document.get("profile_name", DASH)
    if artifact:
        yield "artifact", f"{artifact['name']}, key `{artifact['key']}`"
    if speech:
        yield "speech", f"{speech['origin']}, {speech['audio_s']:.2f} s"
    if result:
        yield "RTF", f"{result['rtf']:.4f}"
    memory = machine["memory_bytes"]
    yield (
        "machine",
        f"{machine['instance'] or 'instance unknown'}, {machine['processor']}, {machine['cores']} cores, "
        + (f"{memory / 2**30:.1f} GiB" if memory else "memory unknown"),
    )
    yield "system", f"{machine['distribution'] or machine['system']}, {machine['libc']}"
    yield "Neuron SDK", f"{neuron['sdk'] or 'none'}{' (' * bool(packages)}{packages}{')' * bool(packages)}"
    yield "Neuron driver, runtime", f"{neuron['driver'] or DASH}, {neuron['runtime'] or DASH}"
    yield "Neuron devices", ", ".join(neuron["devices"]) or "none"


def _format_stages(document: Mapping[str, Any]) -> str:
    rows = [
        [stage["name"], stage["state"], stage["found"] or DASH, DASH if stage["seconds"] is None else stage["seconds"]]
        for stage in document["stages"]
    ]
    return format_table(["stage", "state", "found", "s"], rows, left=3)


def _format_compile_steps(document: Mapping[str, Any]) -> Iterator[str]:
    if steps := document.get("compile_steps"):
        yield "## Compilation"
        rows = [
            [it["step"], DASH if it["total"] is None else f"{it['done']} of {it['total']}", f"{it['at_s']:.1f}"]
            for it in steps
        ]
        yield format_table(["step", "done", "began at s"], rows)


def _format_result(document: Mapping[str, Any]) -> Iterator[str]:
    if not (result := document.get("result")):
        return
    yield "## Result"
    yield _fence(result["text"])
    times = ", ".join(f"{seconds:.3f}" for seconds in result["seconds"])
    yield f"Requests over HTTP, one after the other: {times} s. RTF is of the median without the first."
    if result["graphs"]:
        rows = [[name, it["calls"], f"{1000 * it['mean_s']:.2f}"] for name, it in result["graphs"].items()]
        yield format_table(["graph", "calls", "ms a call"], rows)


def _format_warnings(document: Mapping[str, Any]) -> Iterator[str]:
    if document["warnings"]:
        yield "## Warnings"
        yield "\n".join("- " + " ".join(text.split()) for text in document["warnings"])


def _format_checks(document: Mapping[str, Any]) -> Iterator[str]:
    if checks := document.get("checks"):
        yield "## Checks"
        rows = [[it["name"], it["verdict"], it["found"], it["advice"]] for it in checks]
        yield format_table(["check", "verdict", "found", "advice"], rows, left=4)
