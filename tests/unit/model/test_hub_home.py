"""Where huggingface_hub keeps its files: an absolute directory for every user and environment."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from neuron_whisper.errors import FetchFailed
from neuron_whisper.host import home
from neuron_whisper.model import hub_home
from neuron_whisper.model.hub_home import choose_hub_home, make_hub_home

OWN_HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)
SHOW_CACHE = (
    "import os, sys; os.environ.pop('HOME', None); os.setresuid(54321, 0, 0)\n"
    "from neuron_whisper.model.hub import find_cached_snapshot\n"
    "assert find_cached_snapshot('org/none', None) is None\n"
    "import huggingface_hub; print(huggingface_hub.constants.HF_HUB_CACHE)"
)


@pytest.mark.parametrize(
    "environment",
    [
        {"HOME": "/home/me"},
        {"HF_HOME": "/data/hf"},
        {"HF_HOME": "hf"},  # of the user's choosing
        {"XDG_CACHE_HOME": "/data/cache"},
        {"XDG_CACHE_HOME": "/data/cache", "HOME": ""},
    ],
)
def test_huggingface_hub_finds_its_directory_by_itself_where_one_is_named(environment: dict[str, str]) -> None:
    assert choose_hub_home(environment) is None


@pytest.mark.parametrize(
    "environment",
    [{}, {"HOME": ""}, {"HOME": "~"}, {"HOME": "/home/me", "HF_HOME": ""}, {"HOME": "/home/me", "XDG_CACHE_HOME": ""}],
)
def test_an_environment_without_a_directory_gets_the_one_below_the_users_home(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    assert choose_hub_home(environment) == OWN_HOME / ".cache" / "huggingface"


@pytest.mark.skipif(os.geteuid() != 0, reason="not proved without root: a user without a name and a home directory")
def test_a_user_without_a_home_gets_a_temporary_directory_and_no_folder_called_tilde(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", SHOW_CACHE],
        cwd=tmp_path,
        env={**kept, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(tmp_path / f"neuron-whisper-{os.geteuid()}" / "huggingface" / "hub")
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_directory_is_made_closed_to_others_and_another_users_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    private = home.find_private_temporary_directory()
    monkeypatch.setenv(hub_home.HOME_VARIABLE, str(private / "huggingface"))
    make_hub_home()
    assert [path.stat().st_mode & 0o777 for path in (private, private / "huggingface")] == [0o700, 0o700]
    (private / "huggingface").rmdir()
    (private / "huggingface").symlink_to("/" if os.geteuid() else "/proc/1")
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    monkeypatch.setenv(hub_home.HOME_VARIABLE, str(home.find_private_temporary_directory() / "huggingface"))
    (tmp_path / "neuron-whisper-54321" / "huggingface").mkdir(parents=True)
    with pytest.raises(FetchFailed, match="HF_HOME"):
        make_hub_home()
