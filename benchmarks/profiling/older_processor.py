"""Runs a command as on a processor with fewer instruction sets, so that OpenVINO and this package choose as there.

`python -m benchmarks.profiling.older_processor avx2 python -m neuron_whisper doctor`

A copy of OpenVINO asks for the processor's features through a handler that leaves some out, and /proc/cpuinfo leaves
them out as well. Results are what such a processor gives; times are this one's with those instructions alone. x86-64
Linux; needs gcc and objdump.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

CPUID, UD2 = b"\x0f\xa2", b"\x0f\x0b"
# flag in /proc/cpuinfo -> where CPUID has it: leaf, subleaf, register (0 to 3: EAX to EDX), bit
BFLOAT16_SETS = {
    "avx512_bf16": (7, 1, 0, 5),
    "avx512_fp16": (7, 0, 3, 23),
    "amx_bf16": (7, 0, 3, 22),
    "amx_tile": (7, 0, 3, 24),
    "amx_int8": (7, 0, 3, 25),
    "avx_ne_convert": (7, 1, 3, 5),
}
VNNI_SETS = {"avx512_vnni": (7, 0, 2, 11), "avx_vnni": (7, 1, 0, 4), "avx_vnni_int8": (7, 1, 3, 4)}
AVX512_SETS = {
    "avx512f": (7, 0, 1, 16),
    "avx512dq": (7, 0, 1, 17),
    "avx512ifma": (7, 0, 1, 21),
    "avx512cd": (7, 0, 1, 28),
    "avx512bw": (7, 0, 1, 30),
    "avx512vl": (7, 0, 1, 31),
    "avx512vbmi": (7, 0, 2, 1),
    "avx512_vbmi2": (7, 0, 2, 6),
    "avx512_bitalg": (7, 0, 2, 12),
    "avx512_vpopcntdq": (7, 0, 2, 14),
    "avx512_vp2intersect": (7, 0, 3, 8),
}
AVX_SETS = {
    "avx": (1, 0, 2, 28),
    "fma": (1, 0, 2, 12),
    "f16c": (1, 0, 2, 29),
    "avx2": (7, 0, 1, 5),
    "vaes": (7, 0, 2, 9),
    "vpclmulqdq": (7, 0, 2, 10),
}
# name -> what the processor has not
KINDS: Mapping[str, Mapping[str, tuple[int, int, int, int]]] = {
    "avx512_vnni": BFLOAT16_SETS,
    "avx512": BFLOAT16_SETS | VNNI_SETS,
    "avx2": BFLOAT16_SETS | VNNI_SETS | AVX512_SETS,
    "sse4_2": BFLOAT16_SETS | VNNI_SETS | AVX512_SETS | AVX_SETS,
}


def format_rules(bits: Iterable[tuple[int, int, int, int]]) -> str:
    """(leaf, subleaf, register, bit) each, as the handler reads them."""
    return " ".join(f"{leaf} {subleaf} {register} {1 << bit:x}" for leaf, subleaf, register, bit in bits)


def mask_cpuinfo(text: str, absent: Iterable[str]) -> str:
    """/proc/cpuinfo without these flags."""
    names = set(absent)

    def mask(line: str) -> str:
        head, colon, flags = line.partition(":")
        if head.strip() != "flags":
            return line
        return f"{head}{colon} {' '.join(flag for flag in flags.split() if flag not in names)}"

    return "\n".join(map(mask, text.split("\n")))


def replace_cpuid(path: Path) -> int:
    """Replace each CPUID instruction in a library or program by UD2, which raises SIGILL; how many there were."""
    run = partial(subprocess.run, capture_output=True, text=True, check=True)
    sections = run(["readelf", "-SW", str(path)]).stdout
    # address, offset and size of what is executable
    code = [
        (int(address, 16), int(offset, 16), int(size, 16))
        for address, offset, size in re.findall(r" PROGBITS\s+(\w+) (\w+) (\w+) \w+\s+AX", sections)
    ]
    lines = run(["objdump", "-d", "--no-show-raw-insn", str(path)]).stdout
    data, addresses = bytearray(path.read_bytes()), re.findall(r"^\s*(\w+):\s+cpuid", lines, re.MULTILINE)
    for address in (int(it, 16) for it in addresses):
        [offset] = [start + address - first for first, start, size in code if first <= address < first + size]
        assert data[offset : offset + 2] == CPUID, f"{path}: no CPUID at {address:#x}"
        data[offset : offset + 2] = UD2
    path.write_bytes(data)
    return len(addresses)


def build_handler(directory: Path) -> Path:
    """The library to preload."""
    library = directory / "older_processor.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def copy_openvino(directory: Path) -> None:
    """A copy of the installed OpenVINO below the directory, whose CPUIDs are replaced."""
    spec = find_spec("openvino")
    assert spec is not None
    assert spec.origin is not None
    copy = directory / "openvino"
    shutil.copytree(Path(spec.origin).parent, copy, ignore=shutil.ignore_patterns("*_gpu_plugin*", "*_npu_plugin*"))
    for path in copy.glob("libs/lib*.so*"):
        if re.match(r"libopenvino(_intel_cpu_plugin)?\.so|libtbb\.so", path.name):
            replace_cpuid(path)


def make_environment(directory: Path, kind: str, library: Path) -> dict[str, str]:
    """The environment of a process that sees a processor of the kind."""
    absent = KINDS[kind]
    cpuinfo = directory / f"cpuinfo-{kind}"
    cpuinfo.write_text(mask_cpuinfo(Path("/proc/cpuinfo").read_text(), absent))
    paths = [str(directory), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "LD_PRELOAD": str(library),
        "PYTHONPATH": os.pathsep.join(paths),
        "MASKED_CPUID": format_rules(absent.values()),
        "MASKED_CPUINFO": str(cpuinfo),
    }


def main(args: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=Path("build/older_processor"), help="of the copy, kept")
    parser.add_argument("kind", choices=KINDS, help="the newest instruction sets that it has")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="program and arguments")
    parsed = parser.parse_args(args)
    if not parsed.command:
        parser.error("command: give a program and its arguments")
    directory: Path = parsed.directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / "openvino").is_dir():
        copy_openvino(directory)
    environment = make_environment(directory, parsed.kind, build_handler(directory))
    return subprocess.run(parsed.command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
