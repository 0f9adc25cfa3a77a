"""The doctor: what it finds on a machine, and the verdict it gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neuron_whisper.cli.doctor import Check, Verdict, judge
from neuron_whisper.cli.main import run
from neuron_whisper.host import hardware
from neuron_whisper.target.registry import missing_packages


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def checks(capsys: pytest.CaptureFixture[str], cache: Path) -> tuple[int, dict[str, dict[str, str]]]:
    code = run(["doctor", "--json", "--cache", str(cache)])
    answer = json.loads(capsys.readouterr().out)
    assert answer["verdict"] in ("ok", "warn", "fail")
    return code, {check["name"]: check for check in answer["checks"]}


def test_every_check_has_a_verdict_and_each_that_is_not_ok_has_advice(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, found = checks(capsys, tmp_path / "cache")
    assert code == 0
    assert set(found) >= {
        "cores",
        "instructions",
        "memory",
        "python",
        "packages",
        "compile packages",
        "target cpu",
        "target reference",
        "target neuron",
        "Neuron devices",
        "cache",
        "disk",
        "artifacts",
        "models",
    }
    for check in found.values():
        assert check["verdict"] in ("ok", "warn", "fail")
        assert check["found"]
        assert check["advice"] or check["verdict"] == "ok"
    assert not (tmp_path / "cache").exists()  # looking changes nothing


def test_a_missing_neuron_target_is_a_warning_with_its_install_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if not missing_packages("neuron"):
        pytest.skip("the Neuron packages are installed: nothing is missing to be told of")
    _, found = checks(capsys, tmp_path)
    assert found["target neuron"]["verdict"] == "warn"
    assert found["target neuron"]["advice"].startswith('pip install "neuron-whisper[neuron]"')


def test_the_verdict_is_what_the_checks_allow() -> None:
    def check(name: str, verdict: Verdict) -> Check:
        return Check(name=name, verdict=verdict, found="")

    checks = [check("packages", "ok"), check("cache", "ok"), check("target cpu", "warn"), check("target neuron", "ok")]
    abilities = {ability.name: ability for ability in judge([*checks, check("compile packages", "warn")])}
    assert abilities["transcribe and serve on the CPU"].is_possible
    assert abilities["compile models for the CPU"].missing == ("compile packages",)
    assert abilities["run on Neuron devices"].missing == ("NeuronCores",)  # not checked: there is no device


def test_a_cache_that_others_can_write_fails(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    code, found = checks(capsys, cache)
    assert code == 1
    assert found["cache"]["verdict"] == "fail"
    assert "others can write it" in found["cache"]["found"]


def test_people_read_one_line_for_each_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["doctor", "--cache", str(tmp_path)]) == 0
    checks, _, verdict = capsys.readouterr().out.partition("\n\nThis machine can:\n")
    lines = [line for line in checks.splitlines() if "-> " not in line]
    assert len(lines) >= 14
    assert all(line.startswith(("ok    ", "warn  ", "fail  ")) for line in lines)
    assert all(line.startswith(("  yes  ", "  no   ")) for line in verdict.splitlines())


# --- the machine ----------------------------------------------------------------------------------


def test_the_quota_is_the_least_of_the_cgroup_and_those_above_it(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/pod/one\n")
    write(tmp_path, "sys/fs/cgroup/pod/cpu.max", "150000 100000\n")
    write(tmp_path, "sys/fs/cgroup/pod/one/cpu.max", "max 100000\n")
    assert hardware.read_quota_cores(tmp_path) == 1.5


def test_the_quota_of_the_first_version_of_cgroups_is_read_as_well(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "4:cpu,cpuacct:/docker/ab\n2:memory:/docker/ab\n")
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "200000\n")
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    assert hardware.read_quota_cores(tmp_path) == 2.0


def test_a_group_without_a_limit_has_no_quota(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "4:cpu:/\n")
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert hardware.read_quota_cores(tmp_path) is None


def test_memory_is_what_the_cgroup_leaves_when_that_is_less(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", "MemTotal:       8000 kB\nMemFree: 1 kB\nMemAvailable:   6000 kB\n")
    assert hardware.read_memory_bytes(tmp_path) == (8_192_000, 6_144_000)
    write(tmp_path, "proc/self/cgroup", "0::/\n")
    write(tmp_path, "sys/fs/cgroup/memory.max", "4096000\n")
    write(tmp_path, "sys/fs/cgroup/memory.current", "1000000\n")
    assert hardware.read_memory_bytes(tmp_path) == (4_096_000, 3_096_000)


def test_no_limit_of_memory_is_no_limit_in_either_version(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", "MemTotal:       8000 kB\nMemAvailable:   6000 kB\n")
    write(tmp_path, "sys/fs/cgroup/memory.max", "max\n")
    write(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert hardware.read_memory_bytes(tmp_path) == (8_192_000, 6_144_000)


def test_instruction_sets_are_those_that_matter_here(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", "model name\t: Some CPU\nflags\t\t: fpu avx avx2 amx_bf16 avx512f\n")
    assert hardware.detect_instruction_sets(tmp_path, "x86_64") == ("avx2", "avx512f", "amx_bf16")
    assert hardware.read_processor_name(tmp_path) == "Some CPU"
    write(tmp_path, "proc/cpuinfo", "Features\t: fp asimd bf16 i8mm\n")
    assert hardware.detect_instruction_sets(tmp_path, "aarch64") == ("asimd", "bf16", "i8mm")


def test_neuron_devices_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("neuron10", "neuron2", "neuron0", "neuron_monitor"):
        write(tmp_path, f"dev/{name}", "")
    assert hardware.list_neuron_devices(tmp_path) == ("/dev/neuron0", "/dev/neuron2", "/dev/neuron10")


def test_a_machine_that_tells_nothing_gives_nothing(tmp_path: Path) -> None:
    assert hardware.read_quota_cores(tmp_path) is None
    assert hardware.read_memory_bytes(tmp_path) == (None, None)
    assert hardware.detect_instruction_sets(tmp_path, "riscv64") == ()
    assert hardware.list_neuron_devices(tmp_path) == ()
