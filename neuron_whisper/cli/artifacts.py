"""`artifacts`: lists, verifies, removes and moves compiled artifacts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.exceptions import Exit

from neuron_whisper.cli.completion import complete_artifacts
from neuron_whisper.cli.context import CliContext, with_context, write_stderr
from neuron_whisper.cli.output import echo_json, echo_record, echo_table, format_bytes, format_program

if TYPE_CHECKING:
    from neuron_whisper.artifact.loader import Artifact
    from neuron_whisper.artifact.store import ArtifactStore

EXIT_ARTIFACT_PROBLEM = 3  # as the exit code of an ArtifactError

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def artifacts() -> None:
    """List, verify, remove and move compiled artifacts.

    REF is an artifact's name or the beginning of it, its model's label, 4 or more digits of its key, or a path. Of
    several artifacts with one label, the newest with the profile cpu is meant, or the newest when all have one profile.
    """


@artifacts.command("list")
@json_option
@with_context
def list_command(context: CliContext, as_json: bool) -> None:
    """List every artifact, broken ones too."""
    found, broken = context.store().list_artifacts()
    if as_json:
        echo_json(
            {
                "artifacts": [_summarize(artifact) for artifact in found],
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
    for _, error in broken:
        write_stderr(f"broken: {error}")


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
    help="Also load each artifact on its device and compare its golden tokens with the reference's.",
)
@json_option
@with_context
def verify(context: CliContext, refs: tuple[str, ...], runs: bool, as_json: bool) -> None:
    """Verify every file of the named artifacts, or of all, against its digest.

    Exits with 3 when an artifact is broken.
    """
    store = context.store()
    found, broken = store.list_artifacts()
    if refs:
        found, broken = [store.resolve(ref) for ref in refs], []
    results = [(artifact.path, *_verify_artifact(store, artifact, run=runs)) for artifact in found]
    # artifacts whose manifest is broken are not digested: one reason is enough
    results += [(path, [str(error)], "") for path, error in broken]
    results.sort()
    if as_json:
        echo_json(
            [
                {
                    "name": path.name,
                    "path": str(path),
                    "sound": not bad,
                    "problems": bad,
                    **({"run": run} if runs else {}),
                }
                for path, bad, run in results
            ]
        )
    else:
        for path, bad, run in results:
            click.echo(f"{path.name}: {'; '.join(bad) if bad else 'sound'}{f'; {run}' if run else ''}")
    if not results:
        context.info(f"no artifact in {context.cache}")
    if any(bad for _, bad, _ in results):
        raise Exit(EXIT_ARTIFACT_PROBLEM)


def _verify_artifact(store: ArtifactStore, artifact: Artifact, *, run: bool) -> tuple[list[str], str]:
    """(problems of an artifact, result of its run); a damaged artifact is not run."""
    from neuron_whisper.artifact.golden import verify_on_device
    from neuron_whisper.artifact.loader import find_problems as problems_of
    from neuron_whisper.errors import NeuronWhisperError

    problems = [str(problem) for problem in problems_of(artifact)]
    if problems or not run:
        return problems, ""
    try:
        has_run = verify_on_device(store, artifact)
    except NeuronWhisperError as error:
        return [str(error)], "the run failed"
    return [], "its golden tokens are the reference's" if has_run else "not run: it was compiled without golden tokens"


@artifacts.command()
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Also remove artifacts unused for this many days.",
)
@click.option("--all", "everything", is_flag=True, help="Remove all artifacts.")
@click.option("--dry-run", is_flag=True, help="Print what would be removed; remove nothing.")
@json_option
@with_context
def prune(context: CliContext, older_than: float | None, everything: bool, dry_run: bool, as_json: bool) -> None:
    """Remove leftovers of dead processes, broken artifacts, and what the options name.

    Artifacts in use by a running process stay.
    """
    removed = context.store().prune(older_than_days=older_than, everything=everything, dry_run=dry_run)
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
    from neuron_whisper.artifact.transfer import import_artifact

    source = sys.stdin.buffer if str(file) == "-" else file
    click.echo(str(import_artifact(context.create_store(), source).path))
