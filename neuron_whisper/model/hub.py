"""Snapshots of the Hugging Face hub, from its cache or through huggingface_hub."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from neuron_whisper.errors import FetchFailed, UnknownModel
from neuron_whisper.model.hub_home import make_hub_home, set_hub_home
from neuron_whisper.model.huggingface import ADAPTER_CONFIG, WEIGHT_FILES, has_slow_tokenizer, list_shard_files
from neuron_whisper.model.progress import DownloadProgress, track_download
from neuron_whisper.model.stored_tensors import MERGE_ADVICE

T = TypeVar("T")

TOKENIZER = "tokenizer.json"
HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[\w.-]+)(@(?P<revision>[\w./-]+))?")
SNAPSHOT_CONFIGS = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "normalizer.json",
)
SHARD_SUFFIX = re.compile(r"-\d{5}-of-\d{5}$")  # of a file's name, without its ending


def select_files(names: Collection[str]) -> list[str]:
    """Of a repository's files, the configs and one form of the weights.

    Repositories often hold the weights several times: float32 and float16, other frameworks, safetensors
    and .bin. The names are those that transformers would load without a variant.
    """
    weights: list[str] = []
    for whole in WEIGHT_FILES:
        stem, ending = whole.rsplit(".", 1)
        index = f"{whole}.index.json"
        if whole in names:
            weights = [whole]
        elif index in names:
            shards = (name for name in names if name.startswith(stem) and name.endswith(f".{ending}"))
            weights = [index, *(s for s in shards if SHARD_SUFFIX.fullmatch(s[len(stem) : -len(ending) - 1]))]
        if weights:
            break
    if not weights and "model.bin" in names:  # a CTranslate2 conversion, with its vocabulary
        weights = sorted(name for name in names if name == "model.bin" or name.startswith("vocabulary."))
    return sorted(name for name in SNAPSHOT_CONFIGS if name in names) + weights if weights else []


def find_cached_snapshot(repo: str, revision: str | None) -> Path | None:
    """The snapshot in huggingface_hub's cache, when its config and all its weights are there."""
    set_hub_home()
    import huggingface_hub

    try:
        config = huggingface_hub.try_to_load_from_cache(repo, "config.json", revision=revision)
    except ValueError:  # HFValidationError: no repository can have this name
        return None
    if not isinstance(config, str):
        return None
    snapshot = Path(config).parent
    names = {path.name for path in snapshot.iterdir() if path.exists()}  # not links to blobs that are gone
    needed = select_files(names)
    indexes = (snapshot / name for name in needed if name.endswith(".index.json"))
    if not needed or any(shard.name not in names for index in indexes for shard in list_shard_files(index)):
        return None
    return snapshot


def fetch_snapshot(repo: str, revision: str | None, *, timeout_s: float, progress: DownloadProgress | None) -> Path:
    """Downloads the needed files of the repository into huggingface_hub's cache; the snapshot's directory.

    Files that an interrupted download finished are kept. Raises UnknownModel when the hub knows no such
    repository or revision, FetchFailed when it cannot be reached within `timeout_s`, or has no weights.
    """
    set_hub_home()
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.file_download import repo_folder_name
    from huggingface_hub.utils.tqdm import tqdm

    class SilentBar(tqdm):
        """Draws nothing: track_download reports the progress, and a library does not print."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]  # theirs

    def ask() -> huggingface_hub.ModelInfo:
        return huggingface_hub.HfApi().model_info(repo, revision=revision, timeout=timeout_s, files_metadata=True)

    make_hub_home()
    try:
        info = call_with_timeout(timeout_s + 1, ask)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        files = select_files(sizes)
        if not files and ADAPTER_CONFIG in sizes:
            raise FetchFailed(repo, f"it is a LoRA adapter, not a model; {MERGE_ADVICE}")
        if not files:
            raise FetchFailed(repo, f"the repository has none of {', '.join(WEIGHT_FILES)}, model.bin")
        folder = repo_folder_name(repo_id=repo, repo_type="model")
        blobs = Path(huggingface_hub.constants.HF_HUB_CACHE) / folder / "blobs"
        with track_download(progress, repo, blobs, sum(sizes[name] for name in files)):
            snapshot = Path(
                huggingface_hub.snapshot_download(repo, revision=revision, allow_patterns=files, tqdm_class=SilentBar)
            )
        if TOKENIZER not in sizes:
            _note_absence(snapshot)
        return snapshot
    except FetchFailed:
        raise
    except GatedRepoError as error:
        raise FetchFailed(repo, "access needs an agreement on its page, and `hf auth login`") from error
    except RevisionNotFoundError as error:
        raise UnknownModel(repo, hint=f"the Hugging Face hub has no revision {revision!r} of it") from error
    except RepositoryNotFoundError as error:
        raise UnknownModel(repo, hint="the Hugging Face hub knows no such model, or it is private") from error
    except Exception as error:  # each version of huggingface_hub lets other HTTP libraries' errors through
        reason = str(error).strip().splitlines() or ["it gave no reason"]
        raise FetchFailed(repo, f"the Hugging Face hub: {reason[0]}") from error


def lacks_tokenizer(snapshot: Path) -> bool:
    """Whether a snapshot is without a tokenizer that its repository may have."""
    if (snapshot / TOKENIZER).exists() or has_slow_tokenizer(snapshot):
        return False
    return not _absence_file(snapshot).is_file()


def _note_absence(snapshot: Path) -> None:
    """Notes in the hub's cache, as huggingface_hub does, that the repository has no tokenizer.json at this commit."""
    with suppress(OSError):  # a cache that others filled; it is asked again then
        path = _absence_file(snapshot)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _absence_file(snapshot: Path) -> Path:
    return snapshot.parent.parent / ".no_exist" / snapshot.name / TOKENIZER


def call_with_timeout(timeout_s: float, call: Callable[[], T]) -> T:
    """The call's result. Raises TimeoutError after `timeout_s`: looking up a host has no limit of its own."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="hub-answer", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {timeout_s:g} seconds")
    return results[0]
