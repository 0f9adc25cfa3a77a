"""Command lines run in this process, or in a process of their own."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from neuron_whisper.cli.main import run


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Cli = Callable[..., Done]


def run_cli(capsys: pytest.CaptureFixture[str], *args: object) -> Done:
    """Run a command line in this process; the package's log is put back as it was."""
    logger = logging.getLogger("neuron_whisper")
    level, handlers = logger.level, logger.handlers[:]
    capsys.readouterr()
    try:
        code = run([str(arg) for arg in args])
        return Done(code, *capsys.readouterr())
    finally:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def run_child(*args: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "neuron_whisper", *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=120)


def run_in_child(code: str, *args: object) -> str:
    """What the code prints, with `run` and the arguments as `args`."""
    source = f"import sys\nfrom neuron_whisper.cli.main import run\nargs = sys.argv[1:]\n{code}"
    command = [sys.executable, "-c", source, *map(str, args)]
    return subprocess.run(command, capture_output=True, check=True, timeout=120, text=True).stdout
