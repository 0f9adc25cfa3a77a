"""`models`: lists the known models and which of them are on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click

from neuron_whisper.cli.context import CliContext, with_context
from neuron_whisper.cli.output.tables import echo_json, echo_table

if TYPE_CHECKING:
    from neuron_whisper.artifact.known_models import KnownModel


@click.group()
def models() -> None:
    """List the models that have a short name; any other is named by its Hugging Face id or its path."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with languages, aliases, ids and paths.")
@with_context
def list_command(context: CliContext, as_json: bool) -> None:
    """List every known model: parameters, languages, licence, and what of it is on this machine.

    HERE is compiled when an artifact is stored, fetched when only the weights are, and - when it would be downloaded.
    """
    from neuron_whisper.artifact.known_models import list_known_models

    known = list_known_models(context.cache, context.store().list_artifacts().current)
    if as_json:
        echo_json([_to_document(model) for model in known])
        return
    echo_table(("NAME", "PARAMETERS", "LANGUAGES", "LICENCE", "HERE"), [_format_row(model) for model in known])


def _to_document(model: KnownModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "aliases": model.aliases,
        "hub_id": model.hub_id,
        "licence": model.licence,
        "parameters": model.parameters,
        "languages": model.languages,
        "checkpoint": str(model.checkpoint) if model.checkpoint else None,
        "artifacts": model.artifacts,
    }


def _format_row(model: KnownModel) -> tuple[str, ...]:
    """("base", "73 M", "99", "MIT", "compiled"); aliases stand behind the name, one language by its code."""
    names = ", ".join((model.name, *model.aliases))
    languages = model.languages[0] if len(model.languages) == 1 else str(len(model.languages))
    here = "compiled" if model.artifacts else "fetched" if model.checkpoint else "-"
    return names, f"{model.parameters / 1e6:,.0f} M", languages, model.licence, here
