"""Where huggingface_hub keeps its files, for users and environments that its own default leaves without a place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from neuron_whisper.errors import FetchFailed
from neuron_whisper.host.home import find_home, find_private_temporary_directory
from neuron_whisper.model.private_directory import make_private_directory

HOME_VARIABLE = "HF_HOME"


def choose_hub_home(environment: Mapping[str, str]) -> Path | None:
    """The value that HF_HOME lacks; None where huggingface_hub finds an absolute path by itself.

    It would take a folder `~` in the working directory for a user without a home directory, and one without a name for
    a variable that is set and empty.
    """
    if environment.get(HOME_VARIABLE):
        return None
    above = Path(environment.get("XDG_CACHE_HOME", environment.get("HOME", "")))
    if HOME_VARIABLE not in environment and above.is_absolute():
        return None
    home = find_home()
    return (home / ".cache" if home is not None else find_private_temporary_directory()) / "huggingface"


def set_hub_home() -> None:
    """Sets HF_HOME where it has to be. To be called before huggingface_hub is imported, which reads it then."""
    if (home := choose_hub_home(os.environ)) is not None:
        os.environ[HOME_VARIABLE] = str(home)


def make_hub_home() -> None:
    """Makes the temporary directory that HF_HOME is in, if it is one. Raises FetchFailed where it is another user's."""
    home, private = Path(os.environ.get(HOME_VARIABLE, "")), find_private_temporary_directory()
    if home.parent == private:
        make_private_directory(home)
        if any(path.lstat().st_uid != os.geteuid() for path in (private, home)):
            raise FetchFailed(str(home), f"another user made it; {HOME_VARIABLE} names another directory")
