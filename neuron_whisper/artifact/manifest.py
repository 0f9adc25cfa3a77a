"""manifest.json: an artifact's description of itself, sealed with a digest and read back strictly."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import msgspec

from neuron_whisper import __version__
from neuron_whisper.artifact.key import KEY_DIGITS_IN_NAME, compute_artifact_key
from neuron_whisper.errors import ArtifactCorrupt, ArtifactIncompatible, InvalidOption
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.interfaces import ProgramSpec

FORMAT = 1
MANIFEST_NAME = "manifest.json"
MANIFEST_LIMIT_BYTES = 16 << 20  # it is read whole into memory, also from archives that are not checked yet
PATH_LIMIT_BYTES = 100  # a tar header's name field; longer names would need extension headers in an export

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of an artifact: its size in bytes and its digest in hex."""

    size: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Sha256


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files of an artifact, and the facts it was made from.

    `name` is the artifact's directory name (key.make_artifact_name), `created` ISO 8601 with its zone (UTC),
    `neuron_whisper` the version that compiled it, `spec` and `profile` plain data (spec_to_data,
    CompileProfile.to_canonical()). `profile_name` is unset for a profile with overrides, and in manifests that were
    written before there were names. `files` maps posix paths below the artifact, without manifest.json; the store
    fills it and `seal` (the digest of everything else in the manifest) on publishing.
    """

    format: int = FORMAT
    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=160)]
    key: Sha256
    model: str
    target: Annotated[str, msgspec.Meta(pattern="^[a-z0-9]+$")]
    tp: Annotated[int, msgspec.Meta(ge=1)]
    created: str
    neuron_whisper: str
    facts: dict[str, Any]
    spec: dict[str, Any]
    profile: dict[str, Any]
    profile_name: str | msgspec.UnsetType = msgspec.UNSET
    files: dict[str, FileEntry] = {}
    seal: str = ""

    @property
    def toolchain(self) -> dict[str, Any]:
        """The toolchain among the facts."""
        toolchain = self.facts.get("toolchain", {})
        return toolchain if isinstance(toolchain, dict) else {"toolchain": toolchain}


def spec_to_data(spec: ProgramSpec) -> dict[str, Any]:
    """The spec as plain data for a manifest."""
    return msgspec.to_builtins(spec)  # type: ignore[no-any-return]  # a dataclass gives a dict


def spec_from_data(data: dict[str, Any], path: Path | str = MANIFEST_NAME) -> ProgramSpec:
    """The spec again. Raises ArtifactCorrupt, naming `path`, when data is not exactly a spec's."""
    try:
        spec = msgspec.convert(data, ProgramSpec)
    except (msgspec.ValidationError, InvalidOption) as error:
        raise ArtifactCorrupt(path, expected="the spec of a program", found=error) from None
    # convert ignores unknown fields of a dataclass, so compare the result with the input
    if msgspec.json.encode(spec, order="sorted") != msgspec.json.encode(data, order="sorted"):
        raise ArtifactCorrupt(path, expected="the spec of a program and no more", found=sorted(data))
    return spec


def profile_from_data(data: dict[str, Any], path: Path | str = MANIFEST_NAME) -> CompileProfile:
    """The compile profile again. Raises ArtifactCorrupt, naming `path`."""
    try:
        return msgspec.convert(data, CompileProfile)
    except msgspec.ValidationError as error:
        raise ArtifactCorrupt(path, expected="a compile profile", found=error) from None


def encode_manifest(manifest: Manifest) -> bytes:
    """The sealed manifest as JSON that people can read; equal manifests give equal bytes.

    Raises InvalidOption when it would not be read back: a key that is not its facts', a wrong name or path.
    """
    _check_manifest(manifest)
    sealed = msgspec.structs.replace(manifest, seal=compute_seal(manifest))
    return msgspec.json.format(msgspec.json.encode(sealed, order="sorted"), indent=2) + b"\n"


def compute_seal(manifest: Manifest) -> str:
    """sha256, in hex, of the manifest without its seal: a changed byte in it is found like one in a file."""
    unsealed = msgspec.json.encode(msgspec.structs.replace(manifest, seal=""), order="sorted")
    return hashlib.sha256(unsealed).hexdigest()


def decode_manifest(content: bytes, path: Path | str) -> Manifest:
    """The manifest in `content`, which was read from `path`.

    Raises ArtifactIncompatible for another format, or for what a later version wrote and this one cannot read, and
    ArtifactCorrupt for anything that encode_manifest would not have written, to the byte.
    """
    head: Any = None
    try:
        head = msgspec.json.decode(content)
        if isinstance(head, dict) and isinstance(head.get("format"), int) and head["format"] != FORMAT:
            raise ArtifactIncompatible(str(head.get("name", path)), {"format": (head["format"], FORMAT)})
        manifest = msgspec.convert(head, Manifest)
        again = encode_manifest(manifest)
    except (msgspec.MsgspecError, InvalidOption, ValueError, RecursionError) as error:
        if isinstance(head, dict) and is_later_version(writer := str(head.get("neuron_whisper"))):
            raise ArtifactIncompatible(str(head.get("name", path)), {"neuron_whisper": (writer, __version__)}) from None
        raise ArtifactCorrupt(path, expected="a manifest", found=error) from None
    if (seal := compute_seal(manifest)) != manifest.seal:
        raise ArtifactCorrupt(path, expected=f"seal {manifest.seal or '(none)'}", found=f"seal {seal}")
    if again != content:
        raise ArtifactCorrupt(path, expected="the bytes that were written", found="another spelling of them")
    return manifest


def is_later_version(version: str) -> bool:
    """Whether `version` is later than this one; False for a text that is no version. "0.10.0" is later than "0.9.1"."""
    return _parse_version(version) > _parse_version(__version__)


def _parse_version(version: str) -> tuple[int, ...]:
    found = re.match(r"\d{1,9}(\.\d{1,9})*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _check_manifest(manifest: Manifest) -> None:
    key = compute_artifact_key(manifest.facts)
    if manifest.key != key:
        raise InvalidOption("key", manifest.key, f"the key of these facts is {key}")
    ending = f"-{manifest.target}-tp{manifest.tp}-{manifest.key[:KEY_DIGITS_IN_NAME]}"
    if not manifest.name.endswith(ending) or manifest.name == ending:
        raise InvalidOption("name", manifest.name, f"a label and then {ending}")
    try:
        has_zone = datetime.fromisoformat(manifest.created).tzinfo is not None
    except ValueError:
        has_zone = False
    if not has_zone:
        raise InvalidOption("created", manifest.created, "an ISO 8601 time with its zone")
    _check_paths(manifest.files)


def _check_paths(paths: Iterable[str]) -> None:
    """Refuse what could leave the artifact's directory, hide in it, or not be laid out as files."""
    parents: set[str] = set()
    for path in paths:
        parts = path.split("/")
        if (
            any(part in ("", ".", "..") for part in parts)
            or not path.isprintable()
            or "\\" in path
            or len(path.encode()) > PATH_LIMIT_BYTES
            or parts[0] == MANIFEST_NAME
        ):
            allowed = f"a plain relative path of at most {PATH_LIMIT_BYTES} bytes, not {MANIFEST_NAME}"
            raise InvalidOption("files", path, allowed)
        parents.update(str(parent) for parent in PurePosixPath(path).parents)
    for path in paths:
        if path in parents:
            raise InvalidOption("files", path, "a file is not also a directory")
