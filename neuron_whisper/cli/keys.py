"""`keys`: creates, lists and revokes a server's API keys; the server picks up a change within a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from neuron_whisper.cli.context import CliContext, with_context

if TYPE_CHECKING:
    from neuron_whisper.server.http.api_keys import StoredKey

file_option = click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    envvar="NEURON_WHISPER_KEYS_FILE",
    show_envvar=True,
    help="The file that `serve --keys-file` reads.",
)


@click.group()
def keys() -> None:
    """Create, list and revoke API keys: a file with their hashes, which `serve --keys-file` reads and watches."""


@keys.command()
@click.argument("key_id", metavar="ID")
@file_option
@click.option("--admin", is_flag=True, help="Allow the key to load and unload models and to read admin endpoints.")
@click.option(
    "--max-requests", type=click.IntRange(min=1), metavar="N", help="Concurrent requests of the key; more get 429."
)
@with_context
def create(context: CliContext, key_id: str, file: Path, admin: bool, max_requests: int | None) -> None:
    """Create a key for ID and print it once: only its hash is stored."""
    from neuron_whisper.errors import InvalidOption
    from neuron_whisper.server.http.api_keys import create_key, write_keys

    text, key = create_key(
        key_id,
        ("user", "admin") if admin else ("user",),
        created=f"{datetime.now(UTC):%Y-%m-%d}",
        max_requests=max_requests,
    )
    with _lock(file):
        stored = _read_existing(file)
        if any(key.id == key_id for key in stored):
            raise InvalidOption("id", key_id, f"an id that {file} does not have yet")
        write_keys(file, [*stored, key])
    context.info(f"added {key_id} to {file}; this key is shown once:")
    click.echo(text)


@keys.command("list")
@file_option
@with_context
def list_keys(context: CliContext, file: Path) -> None:
    """List the keys' ids, roles, dates and limits."""
    for key in _read_existing(file):
        limit = f" max_requests={key.max_requests}" if key.max_requests is not None else ""
        click.echo(f"{key.id} roles={','.join(key.roles)} created={key.created}{limit}")


@keys.command()
@click.argument("key_id", metavar="ID")
@file_option
@with_context
def revoke(context: CliContext, key_id: str, file: Path) -> None:
    """Revoke the key of ID."""
    from neuron_whisper.errors import InvalidOption
    from neuron_whisper.server.http.api_keys import write_keys

    with _lock(file):
        stored = _read_existing(file)
        left = [key for key in stored if key.id != key_id]
        if len(left) == len(stored):
            allowed = f"one of {', '.join(key.id for key in stored) or 'none: there is no key'}"
            raise InvalidOption("id", key_id, allowed)
        write_keys(file, left)
    context.info(f"removed {key_id} from {file}")


@contextmanager
def _lock(file: Path) -> Iterator[None]:
    """Wait until no other command changes the file. Raises InvalidOption where its directory does not exist."""
    from neuron_whisper.errors import InvalidOption
    from neuron_whisper.server.http.api_keys import lock_keys

    try:
        with lock_keys(file):
            yield
    except OSError as error:
        allowed = f"a file in a directory of yours: {error.strerror}"
        raise InvalidOption("keys_file", str(file), allowed) from error


def _read_existing(file: Path) -> tuple[StoredKey, ...]:
    from neuron_whisper.server.http.api_keys import read_keys

    return read_keys(file) if file.exists() else ()
