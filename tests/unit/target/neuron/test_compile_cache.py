"""Where libneuronxla's cache lies, and the locks of graphs in it."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from neuron_whisper.target.neuron.compile_cache import cache_environment, find_cache, lock_graph

KEY, OTHER = "98ba4c9111d5882d2331", "cafd6eb1a22bbd8d668b"


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({}, "/store/compile-cache"),
        ({"NEURON_COMPILE_CACHE_URL": ""}, "/store/compile-cache"),
        ({"NEURON_COMPILE_CACHE_URL": "/elsewhere"}, "/elsewhere"),
        ({"NEURON_COMPILE_CACHE_URL": "s3://bucket/neffs"}, None),
        ({"NEURON_CC_FLAGS": "--no_cache"}, "/store/compile-cache"),
        ({"NEURON_CC_FLAGS": "--log_level=INFO --cache_dir=/flag"}, "/flag"),
        ({"NEURON_CC_FLAGS": "--cache_dir /flag --no_cache", "NEURON_COMPILE_CACHE_URL": "/elsewhere"}, "/flag"),
        ({"NEURON_CC_FLAGS": "--cache_dir=s3://bucket"}, None),
    ],
)
def test_the_cache_is_where_neuron_looks_first(given: dict[str, str], place: str | None) -> None:
    environment = given | cache_environment(given, Path("/store/compile-cache"))
    assert find_cache(environment) == (place and Path(place))
    assert environment.get("NEURON_CC_FLAGS") == given.get("NEURON_CC_FLAGS")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"NEURON_COMPILE_CACHE_URL": "kept"}, {"NEURON_COMPILE_CACHE_URL": "{cwd}/kept"}),
        ({"NEURON_CC_FLAGS": "--cache_dir=kept --no_log"}, {"NEURON_CC_FLAGS": "--cache_dir={cwd}/kept --no_log"}),
        ({"NEURON_CC_FLAGS": "-v --cache_dir kept"}, {"NEURON_CC_FLAGS": "-v --cache_dir {cwd}/kept"}),
    ],
)
def test_a_relative_place_is_one_in_the_users_working_directory(
    given: dict[str, str], wanted: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler has another."""
    monkeypatch.chdir(tmp_path)
    changed = cache_environment(given, Path("/store/compile-cache"))
    assert changed == {name: value.format(cwd=tmp_path) for name, value in wanted.items()}


def test_without_a_directory_neurons_default_stays() -> None:
    assert cache_environment({}, None) == {}
    assert find_cache({}) is None


def make_entry(cache: Path, key: str) -> Path:
    lock = cache / "neuronxcc-2.24.5133.0+58f8de22" / f"MODULE_{key}+39f12043" / "model.hlo_module.pb.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    return lock


def die_with_graph(directory: Path, cache: Path) -> None:
    """A process that is killed while it compiles the graph."""
    child = os.fork()
    if not child:
        with lock_graph(directory, cache, KEY):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def test_the_lock_of_a_graph_whose_process_was_killed_is_removed(tmp_path: Path) -> None:
    cache = tmp_path / "neuron"
    ours, others = make_entry(cache, KEY), make_entry(cache, OTHER)
    (ours.parent / "model.hlo_module.pb").touch()
    die_with_graph(tmp_path, cache)
    with lock_graph(tmp_path, cache, KEY):
        assert not ours.exists()
    assert others.exists()
    assert sorted(path.name for path in ours.parent.iterdir()) == ["model.hlo_module.pb"]
    assert list(tmp_path.glob("*.lock")) == []


def test_a_lock_stays_where_no_process_of_ours_died(tmp_path: Path) -> None:
    """Another program may hold it: the cache is a place that programs share."""
    cache = tmp_path / "neuron"
    for _ in range(2):
        lock = make_entry(cache, KEY)
        with lock_graph(tmp_path, cache, KEY):
            assert lock.exists()


def test_a_failed_graph_counts_as_ended(tmp_path: Path) -> None:
    lock = make_entry(tmp_path / "neuron", KEY)
    with pytest.raises(RuntimeError), lock_graph(tmp_path, tmp_path / "neuron", KEY):
        raise RuntimeError
    with lock_graph(tmp_path, tmp_path / "neuron", KEY):
        assert lock.exists()


def test_a_graph_is_compiled_by_one_at_a_time_and_a_live_ones_lock_stays(tmp_path: Path) -> None:
    cache = tmp_path / "neuron"
    lock = make_entry(cache, KEY)
    order: list[str] = []

    def second() -> None:
        with lock_graph(tmp_path, cache, KEY):
            order.append("second")

    with lock_graph(tmp_path, cache, KEY):
        thread = threading.Thread(target=second)
        thread.start()
        with lock_graph(tmp_path, cache, OTHER):  # which waits for nobody
            order.append("first")
        assert thread.is_alive()
    thread.join()
    assert order == ["first", "second"]
    assert lock.exists()
