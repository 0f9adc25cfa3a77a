"""Artifacts as tar files: what arrives is what left, or nothing arrives."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.artifact.loader import Artifact, check_artifact, find_problems
from neuron_whisper.artifact.manifest import FileEntry, encode_manifest
from neuron_whisper.artifact.store import ArtifactStore, StoredArtifacts
from neuron_whisper.artifact.transfer import export_artifact, import_artifact
from neuron_whisper.errors import ArtifactCorrupt, ArtifactIncompatible, InvalidOption
from tests.support.artifact_samples import (
    FILES,
    TOOLCHAIN,
    exit_code,
    export_bytes,
    flip_byte,
    publish_sample,
    sample_manifest,
    start_child,
)


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return publish_sample(ArtifactStore(tmp_path / "here"))


@pytest.fixture
def there(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "there")


def assert_nothing_arrived(store: ArtifactStore) -> None:
    assert store.list_artifacts() == StoredArtifacts()
    assert not store.directory.staging.exists() or list(store.directory.staging.iterdir()) == []


# --- there and back -----------------------------------------------------------------------------


def test_an_exported_artifact_arrives_unchanged_and_opens(
    artifact: Artifact, there: ArtifactStore, tmp_path: Path
) -> None:
    export_artifact(artifact, tmp_path / "base.tar")
    arrived = import_artifact(there, tmp_path / "base.tar")
    assert arrived.path.parent == there.directory.artifacts
    assert arrived.manifest == artifact.manifest
    check_artifact(arrived, TOOLCHAIN)
    assert {name: (arrived.path / name).read_bytes() for name in FILES} == FILES
    assert export_bytes(arrived) == (tmp_path / "base.tar").read_bytes()


def test_an_import_of_what_is_there_already_changes_nothing(artifact: Artifact, there: ArtifactStore) -> None:
    first = import_artifact(there, io.BytesIO(export_bytes(artifact)))
    inode = first.path.stat().st_ino
    assert import_artifact(there, io.BytesIO(export_bytes(artifact))) == first
    assert first.path.stat().st_ino == inode


def test_an_import_repairs_a_damaged_artifact(artifact: Artifact) -> None:
    archive = export_bytes(artifact)
    flip_byte(artifact.path / "config.json")
    store = ArtifactStore(artifact.path.parent.parent)
    assert find_problems(import_artifact(store, io.BytesIO(archive))) == []


def test_an_artifact_travels_through_a_pipe(artifact: Artifact, there: ArtifactStore) -> None:
    source, sink = os.pipe()

    def send() -> None:
        os.close(source)
        with os.fdopen(sink, "wb") as stream:
            export_artifact(artifact, stream)

    child = start_child(send)
    os.close(sink)
    with os.fdopen(source, "rb") as stream:
        assert find_problems(import_artifact(there, stream)) == []
    assert exit_code(child) == 0


def test_ordinary_tools_can_unpack_and_check_an_archive(artifact: Artifact, tmp_path: Path) -> None:
    export_artifact(artifact, tmp_path / "base.tar")
    with tarfile.open(tmp_path / "base.tar") as archive:
        assert archive.getnames() == ["SHA256SUMS", "manifest.json", *sorted(FILES)]
        assert {(member.mtime, member.uid, member.gid, member.mode) for member in archive} == {(0, 0, 0, 0o644)}
        archive.extractall(tmp_path / "unpacked", filter="data")
    sha256sum = shutil.which("sha256sum")
    if sha256sum is None:
        pytest.skip("not proved without sha256sum: that it reads SHA256SUMS")
    subprocess.run([sha256sum, "--check", "--strict", "SHA256SUMS"], cwd=tmp_path / "unpacked", check=True)


# --- exporting ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "weights/tp0.safetensors"])
def test_a_damaged_artifact_is_not_exported(artifact: Artifact, tmp_path: Path, name: str) -> None:
    flip_byte(artifact.path / name)
    with pytest.raises(ArtifactCorrupt, match=f"{name}: expected sha256"):
        export_artifact(artifact, tmp_path / "base.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]


def test_an_export_goes_to_a_file_in_a_directory_that_exists(artifact: Artifact, tmp_path: Path) -> None:
    for destination in (tmp_path / "none" / "base.tar", tmp_path / "here"):
        with pytest.raises(InvalidOption, match="destination"):
            export_artifact(artifact, destination)


def test_an_export_to_a_device_leaves_it_one(artifact: Artifact, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with os.fdopen(os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        export_artifact(artifact, tmp_path / "pipe")  # less than a pipe holds
        assert (tmp_path / "pipe").is_fifo()
        assert reader.read() == export_bytes(artifact)


def test_an_archive_cut_short_anywhere_is_refused(artifact: Artifact, there: ArtifactStore) -> None:
    archive = export_bytes(artifact)
    for length in range(0, len(archive), 61):
        with pytest.raises(ArtifactCorrupt, match="more bytes, found the end of the file"):
            import_artifact(there, io.BytesIO(archive[:length]))
    assert_nothing_arrived(there)


@pytest.fixture(scope="module")
def sample_archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, ArtifactStore]:
    root = tmp_path_factory.mktemp("archive")
    return export_bytes(publish_sample(ArtifactStore(root / "here"))), ArtifactStore(root / "there")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_an_archive_with_any_changed_byte_is_refused(
    sample_archive: tuple[bytes, ArtifactStore], data: st.DataObject
) -> None:
    archive, store = bytearray(sample_archive[0]), sample_archive[1]
    archive[data.draw(st.integers(0, len(archive) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises((ArtifactCorrupt, ArtifactIncompatible)):
        import_artifact(store, io.BytesIO(archive))
    assert_nothing_arrived(store)


def test_a_changed_byte_of_a_file_is_named_by_file_and_digest(artifact: Artifact, there: ArtifactStore) -> None:
    archive = export_bytes(artifact).replace(b"<net/>", b"<NET/>")
    with pytest.raises(ArtifactCorrupt, match=r"archive: graphs/decode\.xml: expected sha256 \w{64}, found sha256"):
        import_artifact(there, io.BytesIO(archive))
    assert_nothing_arrived(there)


def test_an_archive_that_is_not_there_is_an_invalid_option(there: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"archive.*No such file"):
        import_artifact(there, tmp_path / "none.tar")
    with pytest.raises(InvalidOption, match="archive"):
        import_artifact(there, tmp_path)


# --- importing what is hostile ------------------------------------------------------------------

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", **changes: object) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in changes.items():
        setattr(info, field, value)
    return info, content


def parse_members(archive: bytes) -> list[Member]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        read = [(info, opened.extractfile(info)) for info in opened]
        return [(info, file.read() if file else b"") for info, file in read]


def pack(members: list[Member], form: int = tarfile.GNU_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def with_files(files: dict[str, bytes]) -> list[Member]:
    """An archive in itself consistent, whose manifest lists these files as they are."""
    entries = {
        name: FileEntry(size=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in files.items()
    }
    manifest = encode_manifest(msgspec.structs.replace(sample_manifest(), files=entries))
    digests = {"manifest.json": hashlib.sha256(manifest).hexdigest()}
    digests |= {name: entry.sha256 for name, entry in sorted(entries.items())}
    sums = "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()
    contents = [(name, files[name]) for name in sorted(files)]
    return [member("SHA256SUMS", sums), member("manifest.json", manifest), *(member(*one) for one in contents)]


def test_the_consistent_archive_of_these_tests_is_accepted_as_it_is(there: ArtifactStore) -> None:
    assert find_problems(import_artifact(there, io.BytesIO(pack(with_files({"a": b"1", "b/c": b"2"}))))) == []


def replace_member(info: tarfile.TarInfo, content: bytes = b"") -> Callable[[list[Member]], list[Member]]:
    return lambda members: [*members[:2], (info, content), *members[3:]]


HOSTILE: list[tuple[str, Callable[[list[Member]], list[Member]], str]] = [
    ("absolute", replace_member(*member("/etc/evil", b"1")), "a: expected a member of this name, found '/etc/evil'"),
    ("climbing", replace_member(*member("../evil", b"1")), "a: expected a member of this name, found '../evil'"),
    ("link", replace_member(*member("a", type=tarfile.SYMTYPE, linkname="/etc/passwd")), "a: expected a plain file"),
    ("hard link", replace_member(*member("a", type=tarfile.LNKTYPE, linkname="b/c")), "a: expected a plain file"),
    ("device", replace_member(*member("a", type=tarfile.CHRTYPE, devmajor=1)), "a: expected a plain file"),
    ("pipe", replace_member(*member("a", type=tarfile.FIFOTYPE)), "a: expected a plain file"),
    ("directory", replace_member(*member("a", type=tarfile.DIRTYPE)), "a: expected a plain file"),
    ("owner", replace_member(*member("a", b"1", uid=7)), "a: expected a header as export writes it"),
    ("set-uid", replace_member(*member("a", b"1", mode=0o4755)), "a: expected a header as export writes it"),
    ("longer", replace_member(*member("a", b"1" * 5000)), "a: expected 1 bytes, found 5000 bytes"),
    ("missing", lambda members: members[:3], "b/c: expected a member of this name, found the end of the archive"),
    ("surplus", lambda members: [*members, member("z", b"1")], "the end of the archive after the last file"),
    ("twice", lambda members: [*members[:3], members[2], *members[3:]], "b/c: expected a member of this name"),
    ("no sums", lambda members: members[1:], "SHA256SUMS: expected a member of this name, found 'manifest.json'"),
    ("other sums", lambda members: [member("SHA256SUMS", b"0" * 64 + b"  a\n"), *members[1:]], "SHA256SUMS"),
    ("huge sums", lambda members: [member("SHA256SUMS", bytes((16 << 20) + 1)), *members[1:]], "at most 16777216"),
    ("other manifest", lambda members: [members[0], member("manifest.json", b"{}"), *members[2:]], "a manifest"),
    ("nothing", lambda members: [], "SHA256SUMS: expected a member of this name, found the end"),
]


@pytest.mark.parametrize(("alter", "message"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_a_hostile_archive_is_refused_and_leaves_nothing(
    there: ArtifactStore, tmp_path: Path, alter: Callable[[list[Member]], list[Member]], message: str
) -> None:
    archive = pack(alter(with_files({"a": b"1", "b/c": b"2"})))
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(ArtifactCorrupt, match=f"archive: .*{message}" if message else "archive"):
        import_artifact(there, io.BytesIO(archive))
    assert_nothing_arrived(there)
    assert sorted(path.name for path in tmp_path.iterdir()) in (before, [*before, "there"])


def test_an_extension_header_is_refused_before_it_is_read(there: ArtifactStore) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40  # a reader that believes it asks for a terabyte
    with pytest.raises(ArtifactCorrupt, match="SHA256SUMS: expected a member of this name"):
        import_artifact(there, io.BytesIO(info.tobuf(tarfile.GNU_FORMAT)))


def test_a_manifest_cannot_name_a_place_outside_of_the_store(there: ArtifactStore) -> None:
    members = with_files({"a": b"1"})
    for bad in (b"../../../a", b"/tmp/x"):
        content = members[1][1].replace(b'"a": {', b'"' + bad + b'": {')
        sums = members[0][1].replace(b"  a\n", b"  " + bad + b"\n")
        archive = pack([member("SHA256SUMS", sums), member("manifest.json", content), member(bad.decode(), b"1")])
        with pytest.raises(ArtifactCorrupt, match="plain relative path"):
            import_artifact(there, io.BytesIO(archive))
    assert_nothing_arrived(there)


def test_the_archive_of_another_format_is_incompatible(there: ArtifactStore) -> None:
    sums, manifest = with_files({})
    later = member("manifest.json", manifest[1].replace(b'"format": 1,\n  "key"', b'"format": 2,\n  "key"'))
    with pytest.raises(ArtifactIncompatible, match="format: stored 2, here 1"):
        import_artifact(there, io.BytesIO(pack([sums, later])))
