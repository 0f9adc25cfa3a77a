"""The home directory of a user who may have none."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from neuron_whisper.host.home import expand_home, find_home, find_private_temporary_directory


@pytest.fixture
def no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user id that the password database does not have, and no HOME."""

    def getpwuid(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    monkeypatch.delenv("HOME", raising=False)


def test_home_is_that_of_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_home() == tmp_path
    assert expand_home("~/a") == tmp_path / "a"


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_it_is_that_of_the_user(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("HOME", value)
    assert find_home() == Path(pwd.getpwuid(os.getuid()).pw_dir)


def test_a_user_without_a_name_and_a_variable_has_none(no_name: None) -> None:
    assert find_home() is None
    assert expand_home("~/a") == Path("~/a")
    assert expand_home("~nobody-of-that-name/a") == Path("~nobody-of-that-name/a")


def test_the_temporary_directory_is_one_users_own() -> None:
    assert find_private_temporary_directory().name.endswith(f"-{os.geteuid()}")
