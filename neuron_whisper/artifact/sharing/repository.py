"""One model repository of the Hugging Face hub, through huggingface_hub: its files at a commit, and new commits."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuron_whisper import __version__
from neuron_whisper.artifact.sharing.hub_errors import check_token, translate_hub_errors
from neuron_whisper.errors import InvalidOption, TransferFailed
from neuron_whisper.model.hub import call_with_timeout
from neuron_whisper.model.hub_home import set_hub_home
from neuron_whisper.model.progress import DownloadProgress

HUB_TIMEOUT_S = 30.0
MAIN = "main"
# ASCII alone: a name that looks like another's is another
_REPOSITORY = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
_NAME_LIMIT_CHARS = 96
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """What the hub says of a file: its size in bytes, and its sha256 (of large ones) or its git object's sha1."""

    size: int
    sha256: str | None = None
    git_sha1: str | None = None

    def holds(self, path: Path) -> bool:
        """Whether the file at `path` has this size and digest."""
        if path.stat().st_size != self.size:
            return False
        with path.open("rb") as stream:
            if self.sha256 is not None:
                return hashlib.file_digest(stream, "sha256").hexdigest() == self.sha256
            digest = hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
            return digest.hexdigest() == self.git_sha1


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryState:
    """A repository at one commit: 40 hex digits. `files` are by path."""

    commit: str
    is_private: bool
    files: Mapping[str, HubFile]


def parse_repository(text: str) -> tuple[str, str | None]:
    """("owner/name", revision): "me/whisper" -> ("me/whisper", None), "me/whisper@v1" -> ("me/whisper", "v1").

    Raises InvalidOption.
    """
    found = _REPOSITORY.fullmatch(text)
    name = found["repo"] if found else ""
    if not name or len(name) > _NAME_LIMIT_CHARS or re.search(r"\.\.|--|[.-]$|\.git$|[.-]/", name):
        raise InvalidOption("REPO", text, "OWNER/NAME of a repository of the Hugging Face hub")
    return name, found["revision"] if found else None


class HubRepository:
    """The repository `name` (owner/name). `endpoint` None: HF_ENDPOINT, or huggingface.co.

    The token is huggingface_hub's: HF_TOKEN, or what `hf auth login` stored. Every method raises TransferFailed.
    """

    def __init__(self, name: str, *, endpoint: str | None = None) -> None:
        set_hub_home()
        import huggingface_hub

        self.name = name
        check_token(huggingface_hub.get_token())
        self._api = huggingface_hub.HfApi(endpoint=endpoint, library_name="neuron-whisper", library_version=__version__)

    @property
    def owner(self) -> str:
        return self.name.partition("/")[0]

    def make_url(self, commit: str) -> str:
        return f"{self._api.endpoint}/{self.name}/tree/{commit}"

    def read_state(self, revision: str | None = None) -> RepositoryState:
        """The repository at a branch, tag or commit; None is the branch main. Raises RepositoryMissing.

        The hub forwards the name of a repository that was renamed or given away: that one is refused by its new name.
        """
        with translate_hub_errors(self.name if revision is None else f"{self.name}@{revision}"):
            info = call_with_timeout(
                HUB_TIMEOUT_S + 1,
                lambda: self._api.model_info(self.name, revision=revision, timeout=HUB_TIMEOUT_S, files_metadata=True),
            )
            files = {str(it.rfilename): _describe_file(it) for it in info.siblings or ()}
        if info.id != self.name:
            raise TransferFailed(self.name, f"the hub says that this is {info.id!r} now; name that one if you mean it")
        commit = str(info.sha)
        is_other = revision is not None and _COMMIT.fullmatch(revision) is not None and revision != commit
        if _COMMIT.fullmatch(commit) is None or is_other:
            raise TransferFailed(self.name, f"asked for {revision or MAIN}, the hub answers with the commit {commit!r}")
        return RepositoryState(commit=commit, is_private=info.private is True, files=files)

    def check_commit(self, name: str, commit: str) -> None:
        """Raises TransferFailed when the hub (or a mirror) gives a file of another commit than the one asked for."""
        import huggingface_hub

        with translate_hub_errors(self.name):
            address = huggingface_hub.hf_hub_url(self.name, name, revision=commit, endpoint=self._api.endpoint)
            found = self._api.get_hf_file_metadata(url=address).commit_hash
        if found != commit:
            raise TransferFailed(self.name, f"{name} was asked for at the commit {commit}, the answer is of {found}")

    def download(self, name: str, commit: str, directory: Path) -> Path:
        """One file of the repository at a commit, below `directory`, which then also holds what the client keeps."""
        with translate_hub_errors(self.name), without_progress_bars():
            return Path(self._api.hf_hub_download(self.name, name, revision=commit, local_dir=directory))

    def create(self, *, private: bool) -> RepositoryState:
        """Make the repository, unless it is there, and read it."""
        with translate_hub_errors(self.name):
            self._api.create_repo(self.name, private=private, exist_ok=True)
        return self.read_state()

    def commit(
        self,
        files: Mapping[str, Path | bytes],
        *,
        deleted: Collection[str],
        message: str,
        parent: str,
        progress: DownloadProgress | None = None,
    ) -> str:
        """Upload the files, then write one commit on top of `parent`; its id.

        Large files that the hub has already are not sent again, also those of a push that was interrupted. Raises
        RepositoryMoved when `parent` is not the last commit any more.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        with translate_hub_errors(self.name), without_progress_bars():
            additions = [CommitOperationAdd(name, content) for name, content in files.items()]
            total, done = sum(it.upload_info.size for it in additions), 0
            for addition in additions:
                self._api.preupload_lfs_files(self.name, [addition], revision=MAIN, free_memory=False, num_threads=1)
                done += addition.upload_info.size
                if progress is not None:
                    progress(self.name, done, total)
            made = self._api.create_commit(
                self.name,
                [*additions, *(CommitOperationDelete(name, is_folder=False) for name in deleted)],
                commit_message=message,
                revision=MAIN,
                parent_commit=parent,
            )
        return made.oid


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """huggingface_hub draws no bars in the block: progress goes to the caller's callback, and a library does not print.

    HF_HUB_DISABLE_PROGRESS_BARS, where it is set, decides.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if constants.HF_HUB_DISABLE_PROGRESS_BARS is not None or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _describe_file(sibling: Any) -> HubFile:
    """A RepoSibling as model_info gives it with files_metadata."""
    sha256 = sibling.lfs["sha256"] if sibling.lfs else None
    return HubFile(size=int(sibling.size or 0), sha256=sha256, git_sha1=sibling.blob_id)
