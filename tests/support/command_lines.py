"""Command lines of the program in files and documents: found, and parsed by the real command line without running."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import takewhile

import rich_click as click

from neuron_whisper.cli.main import cli

PROGRAM = "neuron-whisper"
NAMING = ("-t", "-u", "-o", "-g", "tag", "--repository-name")  # before a name of the program that is no call of it
INSTALLED = "/opt/neuron-whisper/bin/neuron-whisper"


def root_context() -> click.Context:
    """The program's context. A command keeps the names of the help option that its first parent has: -h and --help."""
    context = cli.make_context(PROGRAM, [], resilient_parsing=True)  # or it would print its help and exit
    context.resilient_parsing = False
    return context


def find_calls(script: str) -> Iterator[list[str]]:
    """The arguments of every call of the program in a shell script: direct, as an image's, as compose's service's."""
    for line in script.replace("\\\n", " ").splitlines():
        try:
            words = ["", "", *_split(line)]
        except ValueError:  # a line of a quoted text
            continue
        for at, word in enumerate(words):
            is_called = word in (PROGRAM, INSTALLED) or re.fullmatch(rf"{PROGRAM}:[\w-]+", word)
            is_service = words[at - 2 : at + 1] == ["--rm", "-T", "compile"]
            if (is_called and words[at - 1] not in NAMING) or is_service:
                args = list(takewhile(lambda it: not re.fullmatch(r"[|&;<>()]+", it), words[at + 1 :]))
                if args:
                    yield args


def _split(line: str) -> Iterator[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return iter(list(lexer))


def parse_command_line(args: Sequence[str]) -> click.Context:
    """The context of the command that would run; nothing runs. Raises UsageError for what it does not take."""
    command: click.Group = cli
    context, rest = root_context(), list(args)
    while True:
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        if not isinstance(found, click.Group):
            return found.make_context(name, rest, parent=context)
        command, context = found, click.Context(found, info_name=name, parent=context)


def list_flags() -> frozenset[str]:
    """Every flag of every command."""

    def of(command: click.Command, context: click.Context) -> Iterator[str]:
        for param in command.get_params(context):
            yield from (*param.opts, *param.secondary_opts)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                member = command.get_command(context, name)
                assert member is not None
                yield from of(member, click.Context(member, info_name=name, parent=context))

    return frozenset(of(cli, root_context()))
