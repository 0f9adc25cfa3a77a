"""What holds for every test."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.support.cli_runs import Cli

TESTS = Path(__file__).parent
MARKED_FOLDERS = ("unit", "integration", "parity", "neuron_sim")

# the time of an example says nothing on a machine that runs other work
hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")

# A shell starts what runs in its background with Ctrl-C ignored, and children inherit that: tests that interrupt them
# would wait for ever. A handler is not inherited: children have the default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its folder: `pytest -m "not parity"`."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in MARKED_FOLDERS:
            item.add_marker(folder)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a checkpoint; do not change it."""
    from tests.support.tiny_models import write_tiny_checkpoint

    return write_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny-random.en")


@pytest.fixture(scope="session")
def tiny_profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile's file that compiles the checkpoint for the CPU in seconds."""
    from tests.support.tiny_models import TINY_PROFILE

    path = tmp_path_factory.mktemp("profiles") / "tiny.toml"
    path.write_text(TINY_PROFILE)
    return path


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command line in this process."""
    from tests.support.cli_runs import run_cli

    return partial(run_cli, capsys)
