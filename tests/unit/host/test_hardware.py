"""Cores, memory, instruction sets and devices, read from a tree of files like /proc and /sys."""

from __future__ import annotations

from pathlib import Path

from neuron_whisper.host import hardware


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


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


# as a Graviton 3 has it; a Raspberry Pi 5 has fewer features, and its own part
GRAVITON_3 = """processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 \
asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm dcpodp svei8mm svebf16 i8mm bf16 dgh rng
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd40
CPU revision\t: 1

"""


def test_an_arm_processor_has_its_features_and_the_name_of_its_cores(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", GRAVITON_3 + GRAVITON_3.replace("processor\t: 0", "processor\t: 1"))
    assert hardware.read_processor_name(tmp_path) == "ARM Neoverse V1"
    found = hardware.detect_instruction_sets(tmp_path, "aarch64")
    assert found == ("asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve")  # svebf16 alone would not be bf16


def test_an_arm_processor_without_known_cores_has_their_numbers(tmp_path: Path) -> None:
    pi = GRAVITON_3.replace("0xd40", "0xd0b").replace(" asimdhp", "").replace(" bf16", "").replace(" i8mm", "")
    write(tmp_path, "proc/cpuinfo", pi.replace(" sve ", " "))
    assert hardware.read_processor_name(tmp_path) == "ARM Cortex-A76"
    assert hardware.detect_instruction_sets(tmp_path, "aarch64") == ("asimd", "asimddp")
    write(tmp_path, "proc/cpuinfo", pi.replace("0x41", "0xc0").replace("0xd0b", "0xac3"))
    assert hardware.read_processor_name(tmp_path) == "ARM implementer 0xc0, part 0xac3"


def test_flags_of_one_machine_mean_nothing_on_another(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", GRAVITON_3)
    assert hardware.detect_instruction_sets(tmp_path, "x86_64") == ()
    write(tmp_path, "proc/cpuinfo", "flags\t: avx2 avx_vnni avx512_vnni\n")
    assert hardware.detect_instruction_sets(tmp_path, "x86_64") == ("avx2", "avx512_vnni", "avx_vnni")
    assert hardware.detect_instruction_sets(tmp_path, "aarch64") == ()


def test_neuron_devices_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("neuron10", "neuron2", "neuron0", "neuron_monitor"):
        write(tmp_path, f"dev/{name}", "")
    assert hardware.list_neuron_devices(tmp_path) == ("/dev/neuron0", "/dev/neuron2", "/dev/neuron10")


def test_a_machine_that_tells_nothing_gives_nothing(tmp_path: Path) -> None:
    assert hardware.read_quota_cores(tmp_path) is None
    assert hardware.read_memory_bytes(tmp_path) == (None, None)
    assert hardware.detect_instruction_sets(tmp_path, "riscv64") == ()
    assert hardware.list_neuron_devices(tmp_path) == ()
