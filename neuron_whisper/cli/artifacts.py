"""`artifacts`: look at, check, remove and move what is compiled."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.exceptions import Exit

from neuron_whisper.cli.context import Settings, with_settings, write_error_line
from neuron_whisper.cli.output import echo_json, echo_record, echo_table, in_bytes, program_line

if TYPE_CHECKING:
    from neuron_whisper.artifact.loader import Artifact
    from neuron_whisper.artifact.store import ArtifactStore

SOMETHING_WRONG = 3  # as the exit code of an ArtifactError

json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


@click.group()
def artifacts() -> None:
    """List, check, remove and move compiled artifacts.

    REF is an artifact's name or how it begins, its model's label when that is the only one, 4 or more digits
    of its key, or a path.
    """


@artifacts.command("list")
@json_option
@with_settings
def list_command(settings: Settings, as_json: bool) -> None:
    """List every artifact; what is broken as well."""
    found, broken = settings.store().all()
    if as_json:
        echo_json(
            {
                "artifacts": [_summary(artifact) for artifact in found],
                "broken": [{"path": str(path), "problem": str(error)} for path, error in broken],
            }
        )
        return
    if found:
        echo_table(
            ("NAME", "SLOTS", "WEIGHTS", "SIZE", "CREATED"),  # 80 columns; `show` and --json tell the rest
            [
                (
                    artifact.name,
                    artifact.spec.slots,
                    artifact.profile.weights.dtype,
                    in_bytes(artifact.size_bytes),
                    artifact.manifest.created[:10],
                )
                for artifact in found
            ],
        )
    else:
        settings.tell(f"no artifact in {settings.cache}")
    for _, error in broken:
        write_error_line(f"broken: {error}")


def _summary(artifact: Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    return {
        "name": artifact.name,
        "key": artifact.key,
        "path": str(artifact.path),
        "model": manifest.model,
        "target": manifest.target,
        "tp": manifest.tp,
        "created": manifest.created,
        "size_bytes": artifact.size_bytes,
    }


@artifacts.command()
@click.argument("ref")
@json_option
@with_settings
def show(settings: Settings, ref: str, as_json: bool) -> None:
    """Show one artifact: what it was made from, its program and its files."""
    import msgspec

    artifact = settings.store().resolve(ref)
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
            ("target", f"{manifest.target}, tp {manifest.tp}"),
            ("created", manifest.created),
            ("made by", f"neuron-whisper {manifest.neuron_whisper}"),
            ("toolchain", ", ".join(f"{name} {version}" for name, version in manifest.toolchain.items())),
            ("program", program_line(msgspec.to_builtins(artifact.spec))),
            ("size", in_bytes(artifact.size_bytes)),
        ]
    )
    click.echo("")
    echo_table(
        ("FILE", "SIZE", "SHA256"),
        [(name, in_bytes(entry.size), entry.sha256) for name, entry in sorted(manifest.files.items())],
    )
    click.echo(f"\n{artifact.profile.to_toml().rstrip()}")


@artifacts.command()
@click.argument("refs", nargs=-1, metavar="[REF]...")
@click.option(
    "--run",
    "runs",
    is_flag=True,
    help="Also load each on its device and hold its golden tokens against the reference's.",
)
@json_option
@with_settings
def verify(settings: Settings, refs: tuple[str, ...], runs: bool, as_json: bool) -> None:
    """Check every file of artifacts against its digest; all of them when none is named.

    Exits with 3 when anything is wrong.
    """
    store = settings.store()
    found, broken = store.all()
    if refs:
        found, broken = [store.resolve(ref) for ref in refs], []
    results = [(artifact.path, *_judged(store, artifact, runs=runs)) for artifact in found]
    # what the quick look found broken may have whole digests to check: one reason is enough
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
        settings.tell(f"no artifact in {settings.cache}")
    if any(bad for _, bad, _ in results):
        raise Exit(SOMETHING_WRONG)


def _judged(store: ArtifactStore, artifact: Artifact, *, runs: bool) -> tuple[list[str], str]:
    """What is wrong with an artifact, and how its run went; a damaged one is not run."""
    from neuron_whisper.artifact.golden import verify_running
    from neuron_whisper.artifact.loader import verify as problems_of
    from neuron_whisper.errors import NeuronWhisperError

    problems = [str(problem) for problem in problems_of(artifact)]
    if problems or not runs:
        return problems, ""
    try:
        has_run = verify_running(store, artifact)
    except NeuronWhisperError as error:
        return [str(error)], "the run failed"
    return [], "its golden tokens are the reference's" if has_run else "not run: it was compiled without golden tokens"


@artifacts.command()
@click.option("--older-than", type=click.FloatRange(min=0), metavar="DAYS", help="Also what was not used for so long.")
@click.option("--all", "everything", is_flag=True, help="Also every sound artifact.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@json_option
@with_settings
def prune(settings: Settings, older_than: float | None, everything: bool, dry_run: bool, as_json: bool) -> None:
    """Remove what dead processes left, broken artifacts, and what the options name.

    What a running process uses stays.
    """
    removed = settings.store().prune(older_than_days=older_than, everything=everything, dry_run=dry_run)
    if as_json:
        echo_json(
            {
                "dry_run": dry_run,
                "removed": [{"path": str(it.path), "reason": it.reason, "size_bytes": it.size_bytes} for it in removed],
            }
        )
        return
    for it in removed:
        click.echo(f"{it.path.name}: {it.reason} ({in_bytes(it.size_bytes)})")
    verb = "would free" if dry_run else "freed"
    settings.tell(f"{verb} {in_bytes(sum(it.size_bytes for it in removed))}")


@artifacts.command()
@click.argument("ref")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE.tar")
@with_settings
def export(settings: Settings, ref: str, file: Path) -> None:
    """Write an artifact into one tar with checksums; - is stdout."""
    from neuron_whisper.artifact.transfer import export_artifact

    artifact = settings.store().resolve(ref)
    if str(file) == "-":
        stdout = sys.stdout.buffer
        export_artifact(artifact, stdout)
        stdout.flush()
    else:
        export_artifact(artifact, file)
        settings.tell(f"wrote {file} ({in_bytes(file.stat().st_size)})")


@artifacts.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE.tar")
@with_settings
def import_command(settings: Settings, file: Path) -> None:
    """Check a tar that export wrote, store the artifact and print its directory; - is stdin.

    Artifacts are code: import only what comes from somebody you trust.
    """
    from neuron_whisper.artifact.transfer import import_artifact

    source = sys.stdin.buffer if str(file) == "-" else file
    click.echo(str(import_artifact(settings.made_store(), source).path))
