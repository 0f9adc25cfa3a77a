"""`artifacts push` and `artifacts pull`: artifacts in repositories of the Hugging Face hub."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from neuron_whisper.cli.completion import complete_artifacts
from neuron_whisper.cli.context import CliContext, with_context, write_stderr
from neuron_whisper.cli.output.tables import echo_json, format_bytes
from neuron_whisper.cli.progress import show_progress
from neuron_whisper.errors import InvalidOption, MissingOption

if TYPE_CHECKING:
    from neuron_whisper.artifact.loader import Artifact
    from neuron_whisper.artifact.sharing.pull import PulledArtifact, PullResult
    from neuron_whisper.artifact.sharing.push import PushResult
    from neuron_whisper.artifact.store import ArtifactStore

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.argument("repo", metavar="OWNER/NAME")
@click.argument("refs", nargs=-1, metavar="[REF]...", shell_complete=complete_artifacts)
@click.option("--public", is_flag=True, help="Make a new repository public, or push to one that is.")
@click.option(
    "--card",
    "card_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Markdown to add to the model card; its front matter goes before the fields written here.",
)
@click.option("--tags", metavar="TAG,TAG...", help="Add tags to the model card.")
@click.option(
    "--bench",
    "reports",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="Report of `bench --json` with error rates and RTF for the model card; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be sent; send nothing.")
@json_option
@with_context
def push(
    context: CliContext,
    repo: str,
    refs: tuple[str, ...],
    public: bool,
    card_file: Path | None,
    tags: str | None,
    reports: tuple[Path, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Push artifacts to a repository of the Hugging Face hub, and print its address at the new commit.

    The repository is made when it is not there: private, unless --public. It may hold many artifacts, and its model
    card is of all of them. Files that it has are not sent again. Without REF the only stored artifact is pushed.

    The token is that of HF_TOKEN or `hf auth login`; HF_ENDPOINT names another hub.
    """
    from neuron_whisper.artifact.sharing.card import read_card_file
    from neuron_whisper.artifact.sharing.push import PushOptions, push_artifacts
    from neuron_whisper.artifact.sharing.repository import HubRepository, parse_repository

    name, revision = parse_repository(repo)
    if revision is not None:
        raise InvalidOption("REPO", repo, "OWNER/NAME alone: artifacts are pushed to its branch main")
    store = context.store()
    artifacts = _resolve(store, refs)
    options = PushOptions(
        public=public,
        card=read_card_file(card_file) if card_file else "",
        tags=tuple(tag.strip() for tag in tags.split(",")) if tags is not None else (),
        measurements=_read_reports(reports, artifacts),
        dry_run=dry_run,
    )
    with ExitStack() as held, show_progress(context, "bytes") as progress:
        for artifact in artifacts:
            held.enter_context(store.lock_shared(artifact))
        result = push_artifacts(HubRepository(name), artifacts, options, progress=progress)
    for warning in result.warnings:
        write_stderr(f"warning: {warning}")
    if as_json:
        echo_json(_describe_push(result, dry_run=dry_run))
        return
    sent = f"{len(result.sent)} files, {format_bytes(sum(result.sent.values()))}"
    kind = "private" if result.is_private else "public"
    context.info(f"{'would send' if dry_run else 'sent'} {sent} to the {kind} repository {result.repository}")
    for artifact_name, digest in result.digests.items():
        context.info(f"{artifact_name}: sha256 of manifest.json {digest}")
    click.echo(result.url)


@click.command()
@click.argument("repo", metavar="OWNER/NAME[@REVISION]")
@click.argument("refs", nargs=-1, metavar="[REF]...")
@click.option(
    "--trust",
    "trusted",
    multiple=True,
    metavar="OWNER",
    help="Owner of the repository, whose code may run here; required, may be repeated.",
)
@click.option("--digest", metavar="SHA256", help="Refuse an artifact whose manifest.json has another digest.")
@click.option(
    "--for-another-machine",
    "any_machine",
    is_flag=True,
    help="Store also an artifact that this installation cannot use.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be stored; store nothing.")
@json_option
@with_context
def pull(
    context: CliContext,
    repo: str,
    refs: tuple[str, ...],
    trusted: tuple[str, ...],
    digest: str | None,
    any_machine: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Pull artifacts from a repository of the Hugging Face hub, verify and store them, and print their directories.

    Artifacts are code: pull only from owners you trust, and name them with --trust. REVISION is a branch, a tag or a
    commit; all files are of one commit. Without REF the only artifact that this installation can use is pulled.

    The token for private repositories is that of HF_TOKEN or `hf auth login`; HF_ENDPOINT names another hub.
    """
    from neuron_whisper.artifact.sharing.pull import PullOptions, check_trust, pull_artifacts
    from neuron_whisper.artifact.sharing.repository import HubRepository, parse_repository

    name, revision = parse_repository(repo)
    check_trust(name, trusted)
    options = PullOptions(revision=revision, digest=digest, any_machine=any_machine, dry_run=dry_run)
    store = context.store() if dry_run else context.create_store()
    with show_progress(context, "bytes") as progress:
        result = pull_artifacts(HubRepository(name), store, refs, options, trusted=trusted, progress=progress)
    for it in result.artifacts:
        if it.unusable:
            write_stderr(f"warning: {it.name} cannot be used here: {it.unusable}")
    if as_json:
        echo_json(_describe_pull(result, dry_run=dry_run))
        return
    for it in result.artifacts:
        context.info(f"{it.name}: {_describe_state(it, dry_run=dry_run)} (commit {result.commit[:12]})")
        click.echo(str(it.artifact.path if it.artifact else it.name))


def _resolve(store: ArtifactStore, refs: tuple[str, ...]) -> list[Artifact]:
    """The artifacts that are meant. Raises MissingOption when none is named and not exactly one is stored."""
    if refs:
        return list({it.name: it for it in map(store.resolve, refs)}.values())
    stored = store.list_artifacts().current
    if len(stored) != 1:
        names = ", ".join(it.name for it in stored) or "none is stored"
        raise MissingOption("REF", f"name the artifacts to push, of: {names}")
    return stored


def _read_reports(files: tuple[Path, ...], artifacts: list[Artifact]) -> list[Any]:
    from neuron_whisper.artifact.sharing.measurements import read_report

    keys = {it.key for it in artifacts}
    found = []
    for file in files:
        measured = [it for it in read_report(file) if it.artifact_key in keys]
        if not measured:
            raise InvalidOption("--bench", str(file), "a report that measured an artifact which is pushed")
        found += measured
    return found


def _describe_push(result: PushResult, *, dry_run: bool) -> dict[str, Any]:
    return {
        "repository": result.repository,
        "url": result.url,
        "commit": result.commit,
        "new": result.is_new,
        "private": result.is_private,
        "dry_run": dry_run,
        "artifacts": [{"name": name, "digest": digest} for name, digest in result.digests.items()],
        "sent": [{"path": path, "size_bytes": size} for path, size in result.sent.items()],
        "deleted": list(result.deleted),
        "warnings": list(result.warnings),
    }


def _describe_pull(result: PullResult, *, dry_run: bool) -> dict[str, Any]:
    return {
        "repository": result.repository,
        "commit": result.commit,
        "dry_run": dry_run,
        "artifacts": [
            {
                "name": it.name,
                "key": it.manifest.key,
                "digest": it.digest,
                "path": str(it.artifact.path) if it.artifact else None,
                "new": it.is_new,
                "unusable": it.unusable or None,
                "size_bytes": sum(entry.size for entry in it.manifest.files.values()),
            }
            for it in result.artifacts
        ],
    }


def _describe_state(it: PulledArtifact, *, dry_run: bool) -> str:
    size = format_bytes(sum(entry.size for entry in it.manifest.files.values()))
    return f"{'would be stored' if dry_run else 'stored'}, {size}" if it.is_new else "is here already"
