"""Driver against runtime, glibc against PyTorch 2.9: pairs by table, and where their versions are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.target.neuron.compatibility import (
    compare_driver_and_runtime,
    compare_glibc,
    find_driver_mismatch,
    find_runtime_version,
    read_driver_version,
)
from neuron_whisper.target.neuron.sdk import RELEASES, UNKNOWN
from tests.support.stub_neuron import write_driver_and_runtime


@pytest.mark.parametrize(
    ("driver", "runtime", "advice", "is_documented"),
    [
        ("2.29.0.0", "2.32.31.0", "aws-neuronx-dkms=2.28.*", True),  # the image of SDK 2.30 on the driver of 2.31
        ("2.30.2.0", "2.31.24.0", "aws-neuronx-dkms=2.27.*", True),
        ("2.31.8.0", "2.30.51.0", "aws-neuronx-dkms=2.26.*", True),
        ("2.31.7.0", "2.28.19.0", "aws-neuronx-dkms=2.28.*", True),  # older than the table
        ("2.31.7.0", "2.30.51.0", "compile and serve with SDK 2.31.1", True),
        ("2.26.10.0", "2.32.31.0", "upgrade aws-neuronx-dkms on the host", True),
        ("2.25.4.0", "2.32.28", "upgrade aws-neuronx-dkms on the host", True),
        ("2.26.5.0", "2.33.10.0", "upgrade aws-neuronx-dkms on the host", False),
        ("2.24.13.0", "2.35.30.0", "upgrade aws-neuronx-dkms on the host", False),
    ],
)
def test_a_pair_that_fails_at_nrt_init_is_told_with_what_to_install(
    driver: str, runtime: str, advice: str, is_documented: bool
) -> None:
    found = compare_driver_and_runtime(driver, runtime)
    assert found is not None
    assert f"driver {driver} and the runtime library {runtime}" in found.reason
    assert advice in found.advice
    assert found.is_documented is is_documented
    assert str(found) == f"{found.reason}; {found.advice}"


@pytest.mark.parametrize(
    ("driver", "runtime"),
    [
        ("2.28.0.0", "2.32.31.0"),
        ("2.28.0.0", "2.30.51.0"),  # an older image under a driver that still takes it
        ("2.27.4.0", "2.32.31.0"),
        ("2.26.10.0", "2.31.24.0"),
        ("2.31.8.0", "2.33.10.0"),  # the image of SDK 2.31.1 under the driver of 2.33.1
        ("2.29.0.0", "2.35.30.0"),
        ("2.31.7.0", ""),
        ("", "2.30.51.0"),
        ("", ""),
    ],
)
def test_other_pairs_and_unknown_versions_pass(driver: str, runtime: str) -> None:
    assert compare_driver_and_runtime(driver, runtime) is None


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: str(release.name))
def test_driver_and_runtime_of_one_release_fit(release: object) -> None:
    assert compare_driver_and_runtime(f"{release.driver}.4.0", f"{release.runtime}.31.0") is None  # type: ignore[attr-defined] # see ids


@given(st.integers(20, 40), st.integers(20, 40), st.integers(0, 99))
def test_a_newer_runtime_never_breaks_a_driver_from_2_29_on(driver: int, runtime: int, patch: int) -> None:
    found = compare_driver_and_runtime(f"2.{driver}.{patch}.0", f"2.{runtime}.{patch}.0")
    if driver >= 29:
        assert (found is None) == (runtime >= 33)
    else:
        assert (found is None) == (driver >= 27 or runtime < 32)


@pytest.mark.parametrize(
    ("torch", "libc", "fits"),
    [
        ("2.9.0.2.15.32035", ("glibc", "2.34"), False),  # Amazon Linux 2023
        ("2.9.0.2.11.19912+ab", ("glibc", "2.26"), False),
        ("2.9.0.2.15.32035", ("glibc", "2.39"), True),  # Ubuntu 24.04
        ("2.9.0.2.15.32035", ("glibc", "2.35"), True),
        ("2.8.0.2.12.22436", ("glibc", "2.34"), True),
        ("2.9.0.2.15.32035", ("", ""), True),  # musl
        (UNKNOWN, ("glibc", "2.34"), True),
    ],
)
def test_pytorch_2_9_needs_a_glibc_that_amazon_linux_2023_has_not(
    torch: str, libc: tuple[str, str], fits: bool
) -> None:
    found = compare_glibc(torch, libc)
    assert (found is None) is fits
    assert found is None or "Ubuntu 24.04" in found.advice


# --- where the versions are read ------------------------------------------------------------------


def test_the_driver_is_read_from_its_module_and_the_runtime_from_its_library(tmp_path: Path) -> None:
    assert (read_driver_version(tmp_path), find_runtime_version(tmp_path, {})) == ("", "")
    write_driver_and_runtime(tmp_path, driver="2.31.7.0", runtime="2.30.51.0")
    assert read_driver_version(tmp_path) == "2.31.7.0"
    assert find_runtime_version(tmp_path, {}) == "2.30.51.0"
    found = find_driver_mismatch(tmp_path)
    assert found is not None
    assert found.is_documented


def test_the_library_that_the_loader_finds_first_is_the_one_that_counts(tmp_path: Path) -> None:
    write_driver_and_runtime(tmp_path / "host", driver="2.31.7.0", runtime="2.30.51.0")
    write_driver_and_runtime(tmp_path / "own", driver="2.31.7.0", runtime="2.33.10.0")
    first = tmp_path / "own" / "opt" / "aws" / "neuron" / "lib"
    environment = {"LD_LIBRARY_PATH": f"/nowhere::{first}"}
    assert find_runtime_version(tmp_path / "host", environment) == "2.33.10.0"


def test_a_library_without_a_version_in_its_name_is_unknown(tmp_path: Path) -> None:
    directory = tmp_path / "opt" / "aws" / "neuron" / "lib"
    directory.mkdir(parents=True)
    (directory / "libnrt.so.1").touch()
    assert find_runtime_version(tmp_path, {}) == ""
