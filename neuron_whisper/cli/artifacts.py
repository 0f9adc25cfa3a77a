"""`artifacts`: lists, verifies, removes, moves and shares compiled artifacts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.exceptions import Exit

from neuron_whisper.cli.completion import complete_artifacts
from neuron_whisper.cli.context import CliContext, with_context, write_stderr
from neuron_whisper.cli.output.tables import echo_json, echo_record, echo_table, format_bytes, format_program
from neuron_whisper.cli.sharing import pull, push

if TYPE_CHECKING:
    from neuron_whisper.artifact.loader import Artifact
    from neuron_whisper.artifact.store import ArtifactStore, OutdatedArtifact

EXIT_ARTIFACT_PROBLEM = 3  # as the exit code of an ArtifactError

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def artifacts() -> None:
    """List, verify, remove, move and share compiled artifacts.

    REF is an artifact's name or the beginning of it, its model's label, 4 or more digits of its key, or a path. Of
    several artifacts with one label, the newest with the profile cpu is meant, or the newest when all have one profile.
    """


@artifacts.command("list")
@json_option
@with_context
def list_command(context: CliContext, as_json: bool) -> None:
    """List every artifact, also outdated and broken ones.

    An outdated artifact was compiled by another version or with another toolchain: it is never used, and prune frees
    it.
    """
    stored = context.store().list_artifacts()
    found, broken = stored.current, stored.broken
    if as_json:
        echo_json(
            {
                "artifacts": [_summarize(artifact) for artifact in found],
                "outdated": [_summarize_outdated(it) for it in stored.outdated],
                "broken": [{"path": str(path), "problem": str(error)} for path, error in broken],
            }
        )
        return
    if found:
        echo_table(
            ("NAME", "PROFILE", "SIZE", "CREATED"),  # 80 columns; `show` and --json have the rest
            [
                (
                    artifact.name,
                    artifact.profile_name or "-",
                    format_bytes(artifact.size_bytes),
                    artifact.manifest.created[:10],
                )
                for artifact in found
            ],
        )
    else:
        context.info(f"no artifact in {context.cache}")
    for it in stored.outdated:
        write_stderr(f"outdated: {it.artifact.name} ({format_bytes(it.artifact.size_bytes)}): {it.reason}")
    for _, error in broken:
        write_stderr(f"broken: {error}")


def _summarize_outdated(outdated: OutdatedArtifact) -> dict[str, Any]:
    artifact = outdated.artifact
    return {
        "name": artifact.name,
        "path": str(artifact.path),
        "neuron_whisper": artifact.manifest.neuron_whisper,
        "reason": outdated.reason,
        "size_bytes": artifact.size_bytes,
    }


def _summarize(artifact: Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    return {
        "name": artifact.name,
        "key": artifact.key,
        "path": str(artifact.path),
        "model": manifest.model,
        "profile": artifact.profile_name,
        "target": manifest.target,
        "tp": manifest.tp,
        "created": manifest.created,
        "size_bytes": artifact.size_bytes,
    }


@artifacts.command()
@click.argument("ref", shell_complete=complete_artifacts)
@json_option
@with_context
def show(context: CliContext, ref: str, as_json: bool) -> None:
    """Show one artifact: what it was made from, its program and its files."""
    import msgspec

    artifact = context.store().resolve(ref)
    manifest = artifact.manifest
    if as_json:
        echo_json({"path": str(artifact.path), **msgspec.to_builtins(manifest)})
        return
    echo_record(
        [
            ("name", artifact.name),
            ("path", artifact.path),
            ("key", artifact.key),
            ("model", manifest.model),
            ("profile", artifact.profile_name or "-"),
            ("target", f"{manifest.target}, tp {manifest.tp}"),
            ("created", manifest.created),
            ("made by", f"neuron-whisper {manifest.neuron_whisper}"),
            ("toolchain", ", ".join(f"{name} {version}" for name, version in manifest.toolchain.items())),
            ("program", format_program(msgspec.to_builtins(artifact.spec))),
            ("size", format_bytes(artifact.size_bytes)),
        ]
    )
    click.echo("")
    echo_table(
        ("FILE", "SIZE", "SHA256"),
        [(name, format_bytes(entry.size), entry.sha256) for name, entry in sorted(manifest.files.items())],
    )
    click.echo(f"\n{artifact.profile.to_toml().rstrip()}")


@artifacts.command()
@click.argument("refs", nargs=-1, metavar="[REF]...", shell_complete=complete_artifacts)
@click.option(
    "--run",
    "runs",
    is_flag=True,
    help="Also load each artifact on its device, and compare each of its graphs with the reference by golden tokens.",
)
@json_option
@with_context
def verify(context: CliContext, refs: tuple[str, ...], runs: bool, as_json: bool) -> None:
    """Verify every file of the named artifacts, or of all, against its digest.

    Exits with 3 when an artifact is broken. Of outdated ones it says so, and checks no file.
    """
    from neuron_whisper.artifact.store import StoredArtifacts

    store = context.store()
    stored = store.list_artifacts()
    if refs:
        stored = StoredArtifacts(current=[store.resolve(ref) for ref in refs])
    results = [_verify_artifact(store, artifact, run=runs) for artifact in stored.current]
    # artifacts whose manifest is broken are not digested: one reason is enough
    results += [_Verified(path=path, problems=[str(error)]) for path, error in stored.broken]
    results += [_Verified(path=it.artifact.path, outdated=it.reason) for it in stored.outdated]
    results.sort(key=lambda result: result.path)
    if as_json:
        echo_json([result.to_document(runs=runs) for result in results])
    else:
        for result in results:
            click.echo(f"{result.path.name}: {result.to_text()}")
    if not results:
        context.info(f"no artifact in {context.cache}")
    if any(result.problems for result in results):
        raise Exit(EXIT_ARTIFACT_PROBLEM)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verified:
    """What is wrong with an artifact's files, the result of its run, and why it is outdated; each may be empty."""

    path: Path
    problems: Sequence[str] = ()
    run: str = ""
    outdated: str = ""

    def to_text(self) -> str:
        if self.outdated:
            return f"outdated: {self.outdated}"
        return f"{'; '.join(self.problems) if self.problems else 'sound'}{f'; {self.run}' if self.run else ''}"

    def to_document(self, *, runs: bool) -> dict[str, Any]:
        return {
            "name": self.path.name,
            "path": str(self.path),
            "sound": not self.problems and not self.outdated,
            "problems": list(self.problems),
            "outdated": self.outdated or None,
            **({"run": self.run} if runs else {}),
        }


def _verify_artifact(store: ArtifactStore, artifact: Artifact, *, run: bool) -> _Verified:
    """Verify an artifact's files, then run it; a damaged artifact is not run."""
    from neuron_whisper.artifact.golden_check import verify_on_device
    from neuron_whisper.artifact.loader import find_problems
    from neuron_whisper.errors import NeuronWhisperError

    problems = [str(problem) for problem in find_problems(artifact)]
    if problems or not run:
        return _Verified(path=artifact.path, problems=problems)
    try:
        graphs = verify_on_device(store, artifact)
    except NeuronWhisperError as error:
        return _Verified(path=artifact.path, problems=[str(error)], run="the run failed")
    result = f"as the reference in {', '.join(graphs)}" if graphs else "not run: it was compiled without golden tokens"
    return _Verified(path=artifact.path, run=result)


@artifacts.command()
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Also remove artifacts unused for this many days.",
)
@click.option("--all", "everything", is_flag=True, help="Remove all artifacts.")
@click.option(
    "--compile-cache",
    is_flag=True,
    help="Also remove the graphs that Neuron's compiler keeps; with --older-than those not written for so many days.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be removed; remove nothing.")
@json_option
@with_context
def prune(
    context: CliContext,
    older_than: float | None,
    everything: bool,
    compile_cache: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove leftovers of dead processes, outdated and broken artifacts, and what the options name.

    Artifacts in use by a running process stay, and the compile cache while something compiles.
    """
    removed = context.store().prune(
        older_than_days=older_than, everything=everything, compile_cache=compile_cache, dry_run=dry_run
    )
    if as_json:
        echo_json(
            {
                "dry_run": dry_run,
                "removed": [{"path": str(it.path), "reason": it.reason, "size_bytes": it.size_bytes} for it in removed],
            }
        )
        return
    for it in removed:
        click.echo(f"{it.path.name}: {it.reason} ({format_bytes(it.size_bytes)})")
    verb = "would free" if dry_run else "freed"
    context.info(f"{verb} {format_bytes(sum(it.size_bytes for it in removed))}")


@artifacts.command()
@click.argument("ref", shell_complete=complete_artifacts)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE.tar")
@with_context
def export(context: CliContext, ref: str, file: Path) -> None:
    """Write an artifact to a tar file with checksums; - is stdout."""
    from neuron_whisper.artifact.transfer import export_artifact

    artifact = context.store().resolve(ref)
    if str(file) == "-":
        stdout = sys.stdout.buffer
        export_artifact(artifact, stdout)
        stdout.flush()
    else:
        export_artifact(artifact, file)
        context.info(f"wrote {file} ({format_bytes(file.stat().st_size)})")


@artifacts.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE.tar")
@with_context
def import_command(context: CliContext, file: Path) -> None:
    """Verify a tar file written by export, store the artifact and print its directory; - is stdin.

    Artifacts are code: import only from sources you trust.
    """
    from neuron_whisper.artifact.compatibility import explain_outdated
    from neuron_whisper.artifact.transfer import import_artifact

    source = sys.stdin.buffer if str(file) == "-" else file
    artifact = import_artifact(context.create_store(), source)
    if reason := explain_outdated(artifact.manifest):
        write_stderr(f"warning: {artifact.name} cannot be used here: outdated, {reason}")
    click.echo(str(artifact.path))


artifacts.add_command(push)
artifacts.add_command(pull)
