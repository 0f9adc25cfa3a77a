"""Recordings that the page offers to try: which files are listed, and how they are sent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server import ServerSettings
from neuron_whisper.server.web.samples import MAX_SAMPLES, Samples, parse_range
from tests.support.servers import read_error, run_server, tone
from tests.support.servers_with_keys import run_server_with_keys

CLIP = tone()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    for name in ("b.wav", "a b.MP3", "ドア.ogg", ".hidden.wav", "notes.txt", "wav", "big.flac"):
        (folder / name).write_bytes(CLIP)
    (folder / "folder.wav").mkdir()
    (folder / "folder.wav" / "inner.wav").write_bytes(CLIP)
    (folder / "big.flac").write_bytes(bytes(range(256)) * 3000)
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    with run_server(ServerSettings(vad_filter=False, samples_dir=folder)) as server, server.client() as client:
        yield client


def test_audio_files_of_the_folder_itself_are_listed_by_name(folder: Path) -> None:
    assert Samples.load(folder).list_urls() == {
        "a b.MP3": "samples/a%20b.MP3",
        "b.wav": "samples/b.wav",
        "big.flac": "samples/big.flac",
        "ドア.ogg": "samples/%E3%83%89%E3%82%A2.ogg",
    }


def test_without_a_folder_there_are_none_and_the_number_is_bounded(tmp_path: Path) -> None:
    assert Samples.load(None).list_urls() == {}
    assert Samples.load(tmp_path).list_urls() == {}
    for number in range(MAX_SAMPLES + 1):
        (tmp_path / f"{number:03}.wav").touch()
    assert list(Samples.load(tmp_path).by_name)[-1] == f"{MAX_SAMPLES - 1:03}.wav"


def test_a_name_that_no_url_can_tell_is_left_out_and_does_not_keep_the_server_from_starting(tmp_path: Path) -> None:
    (tmp_path / "good.wav").touch()
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.wav")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    assert Samples.load(tmp_path).list_urls() == {"good.wav": "samples/good.wav"}


def test_links_without_a_target_and_in_a_circle_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "circle.wav").symlink_to(tmp_path / "circle.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    assert Samples.load(tmp_path).list_urls() == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_recordings_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "secret.wav").touch(mode=0o000)
    assert Samples.load(tmp_path).list_urls() == {}


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_folder_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidOption) as caught:
        Samples.load(tmp_path / name)
    assert caught.value.field == "samples_dir"


@pytest.mark.parametrize(
    ("path", "kind"), [("b.wav", "audio/wav"), ("a%20b.MP3", "audio/mpeg"), ("%E3%83%89%E3%82%A2.ogg", "audio/ogg")]
)
def test_a_listed_file_is_sent_whole_with_its_type(client: httpx.Client, path: str, kind: str) -> None:
    answer, head = client.get(f"/samples/{path}"), client.head(f"/samples/{path}")
    assert (answer.status_code, answer.content) == (200, CLIP)
    assert (head.status_code, head.content) == (200, b"")
    for response in (answer, head):
        assert response.headers["content-type"] == kind
        assert response.headers["content-length"] == str(len(CLIP))
        assert response.headers["accept-ranges"] == "bytes"
        assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "notes.txt",
        ".hidden.wav",
        "folder.wav",
        "folder.wav/inner.wav",
        "B.wav",
        "..%2fb.wav",
        "%2e%2e/b.wav",
        "%00",
    ],
)
def test_nothing_else_is_sent(client: httpx.Client, path: str) -> None:
    assert read_error(client.get(f"/samples/{path}"), 404)["code"] == "unknown_url"


def test_a_file_that_came_later_or_is_gone_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "gone.wav").write_bytes(CLIP)
    with run_server(ServerSettings(vad_filter=False, samples_dir=tmp_path)) as server, server.client() as client:
        (tmp_path / "gone.wav").rename(tmp_path / "new.wav")
        for name in ("gone.wav", "new.wav"):
            read_error(client.get(f"/samples/{name}"), 404)


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=256-", 256, 768_000),
        ("bytes=-5", 767_995, 768_000),
        ("bytes=9-9999999", 9, 768_000),
    ],
)
def test_a_player_gets_the_range_that_it_asks_for(client: httpx.Client, header: str, start: int, end: int) -> None:
    answer = client.get("/samples/big.flac", headers={"range": header})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/768000"
    assert answer.headers["content-length"] == str(end - start)
    assert answer.content == (bytes(range(256)) * 3000)[start:end]


@pytest.mark.parametrize("header", ["bytes=0-1,4-5", "items=0-1", "bytes=-", "bytes=5-2", "bytes=0-", "nonsense"])
def test_what_is_no_single_range_gets_the_whole(client: httpx.Client, header: str) -> None:
    answer = client.get("/samples/big.flac", headers={"range": header})
    assert (answer.status_code, len(answer.content)) == (200, 768_000)
    assert "content-range" not in answer.headers


def test_a_range_of_another_version_of_the_file_gets_the_whole(client: httpx.Client) -> None:
    answer = client.get("/samples/big.flac", headers={"range": "bytes=0-1", "if-range": '"tag"'})
    assert (answer.status_code, len(answer.content)) == (200, 768_000)


@pytest.mark.parametrize("header", ["bytes=768000-", "bytes=-0", "bytes=999999999-"])
def test_a_range_outside_is_refused_with_the_size(client: httpx.Client, header: str) -> None:
    answer = client.get("/samples/big.flac", headers={"range": header})
    read_error(answer, 416)
    assert answer.headers["content-range"] == "bytes */768000"


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 30))
def test_a_range_lies_within_the_file(first: int, last: int, size: int) -> None:
    for header in (f"bytes={first}-{last}", f"bytes={first}-", f"bytes=-{last}"):
        span = parse_range(header, size)
        if span is not None:
            assert 0 <= span[0] < span[1] <= size


def test_they_need_no_key_as_the_page_does(tmp_path: Path, folder: Path) -> None:
    with run_server_with_keys(tmp_path, samples_dir=folder) as it:
        assert it.get("/samples/b.wav").content == CLIP
