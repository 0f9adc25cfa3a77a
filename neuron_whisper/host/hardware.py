"""Hardware of this machine: processors, memory, instruction sets, Neuron devices; read from Linux's files.

`root` is the root of the file system, "/" except in tests. Values that cannot be found are None or empty.
"""

from __future__ import annotations

import math
import os
import platform
import re
from pathlib import Path

ROOT = Path("/")
UNLIMITED_BYTES = 1 << 60  # cgroup version 1 writes a number near 2**63 for no limit

# /proc/cpuinfo's names of what decides the speed here, by machine.
RELEVANT_FLAGS = {
    "x86_64": ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
    "aarch64": ("asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve"),
}
INT8_DOT_FLAGS = ("avx512_vnni", "avx_vnni", "amx_int8")  # on x86; what ARM does is not proved
# ARM's cores have no name in /proc/cpuinfo, only (implementer, part); those of servers and of the Raspberry Pi
ARM_CORES = {
    (0x41, 0xD08): "ARM Cortex-A72",
    (0x41, 0xD0B): "ARM Cortex-A76",
    (0x41, 0xD0C): "ARM Neoverse N1",
    (0x41, 0xD40): "ARM Neoverse V1",
    (0x41, 0xD49): "ARM Neoverse N2",
    (0x41, 0xD4F): "ARM Neoverse V2",
}


def count_usable_cores() -> int:
    """Cores that this process may be scheduled on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_quota_cores(root: Path = ROOT) -> float | None:
    """Cores' worth of time that the cgroup or one above it grants; None without a limit."""
    quotas = []
    for directory in _list_cgroups(root, "cpu"):
        match _read_text(directory / "cpu.max").split():
            case [quota, period] if quota.isdecimal() and period.isdecimal() and int(period):
                quotas.append(int(quota) / int(period))
        quota, period = (
            _read_text(directory / "cpu.cfs_quota_us").strip(),
            _read_text(directory / "cpu.cfs_period_us").strip(),
        )
        if quota.isdecimal() and period.isdecimal() and int(period):  # -1 is no limit
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def read_memory_bytes(root: Path = ROOT) -> tuple[int | None, int | None]:
    """(total, available), of the machine or of the cgroup where that has less."""
    found = dict(re.findall(r"^(\w+):\s+(\d+) kB$", _read_text(root / "proc/meminfo"), re.MULTILINE))
    total, available = (int(found[name]) * 1024 if name in found else None for name in ("MemTotal", "MemAvailable"))
    for directory in _list_cgroups(root, "memory"):
        for limit_name, used_name in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit, used = _read_text(directory / limit_name).strip(), _read_text(directory / used_name).strip()
            if limit.isdecimal() and int(limit) < UNLIMITED_BYTES:
                left = max(0, int(limit) - int(used or 0))
                total = min(int(limit), math.inf if total is None else total)  # type: ignore[assignment]  # an int
                available = min(left, math.inf if available is None else available)  # type: ignore[assignment]
    return total, available


def read_processor_name(root: Path = ROOT) -> str:
    """The processor's name, on ARM that of its cores, or else the architecture."""
    cpuinfo = _read_text(root / "proc/cpuinfo")
    if match := re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE):
        return match[1].strip()
    ids = dict(re.findall(r"^CPU (implementer|part)\s*:\s*0x([0-9a-f]{1,8})$", cpuinfo, re.MULTILINE))
    if len(ids) == 2:
        implementer, part = int(ids["implementer"], 16), int(ids["part"], 16)
        return ARM_CORES.get((implementer, part), f"ARM implementer {implementer:#x}, part {part:#x}")
    return platform.processor() or platform.machine()


def detect_instruction_sets(root: Path = ROOT, machine: str | None = None) -> tuple[str, ...]:
    """Those of RELEVANT_FLAGS that the processor has."""
    match = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", _read_text(root / "proc/cpuinfo"), re.MULTILINE)
    flags = set(match[1].split()) if match else set()
    return tuple(flag for flag in RELEVANT_FLAGS.get(machine or platform.machine(), ()) if flag in flags)


def list_neuron_devices(root: Path = ROOT) -> tuple[str, ...]:
    """/dev/neuron0 ..., in order of their numbers."""
    names = [path.name for path in (root / "dev").glob("neuron*") if path.name[6:].isdecimal()]
    return tuple(f"/dev/{name}" for name in sorted(names, key=lambda name: int(name[6:])))


def _list_cgroups(root: Path, controller: str) -> list[Path]:
    """The directories of this process's cgroup and of those above it, in version 2 and in version 1."""
    mount = root / "sys/fs/cgroup"
    directories = []
    for line in _read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = mount / controllers if controllers else mount
        # in a container the path is often the host's, and the mount shows this group as its top
        inner = Path(path.lstrip("/"))
        directories += [base / part for part in (inner, *inner.parents)]
    return list(dict.fromkeys([*directories, mount, mount / controller]))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
