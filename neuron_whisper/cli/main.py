"""The command line: its commands, and the exit code of each error."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

import rich_click as click

from neuron_whisper import __version__
from neuron_whisper.cli.artifacts import artifacts
from neuron_whisper.cli.bench import bench
from neuron_whisper.cli.calibrate import calibrate
from neuron_whisper.cli.compile import compile_command
from neuron_whisper.cli.completion import PROGRAM, completion
from neuron_whisper.cli.context import write_stderr
from neuron_whisper.cli.demo.command import demo
from neuron_whisper.cli.doctor import doctor
from neuron_whisper.cli.fetch import fetch
from neuron_whisper.cli.keys import keys
from neuron_whisper.cli.models import models
from neuron_whisper.cli.output.streams import StandardStreams, StdoutClosed
from neuron_whisper.cli.plan import plan
from neuron_whisper.cli.serve import serve
from neuron_whisper.cli.transcribe import transcribe
from neuron_whisper.errors import (
    ArtifactError,
    BuildError,
    CapacityError,
    DeviceError,
    InputError,
    InvalidOption,
    NeuronWhisperError,
    TargetUnavailable,
)

log = logging.getLogger(__name__)

USAGE = 2
UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # what a shell reports of a command that SIGINT ended
EXIT_CODES: tuple[tuple[type[NeuronWhisperError], int], ...] = (
    (InvalidOption, USAGE),
    (InputError, 1),
    (BuildError, USAGE),
    (ArtifactError, 3),
    (TargetUnavailable, 4),
    (CapacityError, 5),
    (DeviceError, UNEXPECTED),
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 input (audio, model) or output; 2 usage or build; 3 artifact; 4 target not "
    "available; 5 no capacity; 70 device or unexpected; 130 interrupted.",
)
@click.command_panel("Transcribe and serve", commands=["transcribe", "serve", "keys", "demo"])
@click.command_panel("Models and artifacts", commands=["models", "fetch", "compile", "calibrate", "artifacts", "plan"])
@click.command_panel("This machine", commands=["doctor", "bench", "completion"])
@click.rich_config(help_config={"commands_before_options": True})
@click.version_option(__version__, prog_name="neuron-whisper")
def cli() -> None:
    """Whisper as compiled graphs: compile a model once, then transcribe and serve with it."""


for _command in (
    transcribe,
    serve,
    keys,
    demo,
    models,
    fetch,
    compile_command,
    calibrate,
    artifacts,
    plan,
    doctor,
    bench,
    completion,
):
    cli.add_command(_command)


def main() -> None:
    """The console script."""
    streams = StandardStreams()
    streams.install()
    code = run(sys.argv[1:])
    if warning := streams.close():
        write_stderr(warning)
    if code == INTERRUPTED:
        # threads are not waited for: one may read a stdin that never ends
        os._exit(code)
    sys.exit(code)


def run(args: Sequence[str]) -> int:
    """Run one command line and return its exit code. An error is one line on stderr, with --verbose a traceback too."""
    try:
        code = cli.main(args=list(args), prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except StdoutClosed:
        return 0
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        write_stderr(f"error: {error.__context__}")  # of another pipe than stdout; click would end without a word
        return UNEXPECTED
    except click.Abort:
        log.debug("interrupted", exc_info=True)
        write_stderr("interrupted")
        return INTERRUPTED
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" Try: {context.command_path} --help" if context else ""
        write_stderr(f"error: {error.format_message()}{hint}")
        return error.exit_code
    except NeuronWhisperError as error:
        log.debug("failed", exc_info=True)
        write_stderr(f"error: {error}")
        return to_exit_code(error)
    except OSError as error:
        log.debug("failed", exc_info=True)
        write_stderr(f"error: {error}")
        return UNEXPECTED
    except Exception as error:
        log.debug("failed", exc_info=True)
        write_stderr(
            f"error: unexpected {type(error).__name__}: {error} (a bug of neuron-whisper; --verbose shows a traceback)"
        )
        return UNEXPECTED
    return code if isinstance(code, int) else 0


def to_exit_code(error: NeuronWhisperError) -> int:
    """ArtifactNotFound -> 3"""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), UNEXPECTED)
