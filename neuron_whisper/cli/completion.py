"""`completion`: prints a shell's completion script; and the values that it completes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import rich_click as click
from click.shell_completion import CompletionItem, get_completion_class

PROGRAM = "neuron-whisper"
COMPLETE_VARIABLE = "_NEURON_WHISPER_COMPLETE"  # click's name for it; the script sets it
SHELLS = ("bash", "zsh", "fish")

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL: commands, flags, models, profiles and artifacts.

    For bash, add this line to ~/.bashrc: eval "$(neuron-whisper completion bash)". For zsh the same with zsh in
    ~/.zshrc; for fish: neuron-whisper completion fish > ~/.config/fish/completions/neuron-whisper.fish
    """
    script = get_completion_class(shell)
    assert script is not None, shell
    click.echo(script(ctx.find_root().command, {}, PROGRAM, COMPLETE_VARIABLE).source())


def complete_models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Known short names, then files and folders."""
    from neuron_whisper.model.catalogue import CATALOGUE

    return _match(CATALOGUE, incomplete) or [CompletionItem(incomplete, type="file")]


def complete_profiles(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the packaged profiles, then files."""
    from neuron_whisper.profile import list_profiles

    return _match(list_profiles(), incomplete) or [CompletionItem(incomplete, type="file")]


def complete_peers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of peers, with their variants once a colon is typed."""
    from neuron_whisper.bench.engines.peers import PEERS

    names = [f"{peer.name}:{variant}" for peer in PEERS.values() for variant in peer.variants]
    return _match(names if ":" in incomplete else PEERS, incomplete)


def complete_artifacts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the artifacts in the cache directory of --cache or the environment; none where it cannot be read."""
    from neuron_whisper.artifact.cache_directory import default_cache_directory
    from neuron_whisper.artifact.store import ArtifactStore
    from neuron_whisper.errors import NeuronWhisperError
    from neuron_whisper.host.home import expand_home

    cache = ctx.params.get("cache")
    try:
        directory = expand_home(cache) if cache else default_cache_directory()
        return _match((artifact.name for artifact in ArtifactStore(directory).list_artifacts().current), incomplete)
    except (NeuronWhisperError, OSError):
        return []


def _match(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
