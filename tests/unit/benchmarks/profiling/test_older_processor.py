"""A program under `older_processor` sees fewer instruction sets, by CPUID and in /proc/cpuinfo."""

from __future__ import annotations

import platform
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.profiling.older_processor import (
    KINDS,
    build_handler,
    format_rules,
    make_environment,
    mask_cpuinfo,
    replace_cpuid,
)
from neuron_whisper.host.hardware import RELEVANT_FLAGS

# prints EBX and ECX of leaf 7 and the flags of the first processor
PROGRAM = r"""
#include <cpuid.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(void) {
    static char text[65536];
    unsigned a, b, c, d;
    struct sigaction mine = {.sa_handler = SIG_DFL}; // as faulthandler sets its own
    sigaction(SIGILL, &mine, NULL);
    __cpuid_count(7, 0, a, b, c, d);
    read(open("/proc/cpuinfo", O_RDONLY), text, sizeof text - 1);
    printf("%u %u %d\n", b, c, strstr(text, " avx512f") != NULL);
    return 0;
}
"""


def test_each_kind_has_less_than_the_one_before() -> None:
    absent = [set(KINDS[name]) for name in ("avx512_vnni", "avx512", "avx2", "sse4_2")]
    assert all(more < less for more, less in pairwise(absent))
    assert set(RELEVANT_FLAGS["x86_64"]) <= absent[-1]
    assert "avx2" not in absent[2]


def test_rules_name_leaf_subleaf_register_and_mask() -> None:
    assert format_rules([(7, 0, 1, 16), (7, 1, 0, 5)]) == "7 0 1 10000 7 1 0 20"


def test_cpuinfo_loses_the_flags_of_every_processor_and_nothing_else() -> None:
    text = "model name\t: avx2\nflags\t\t: fpu avx2 avx512f sse\n\nflags\t\t: avx512f avx2\n"
    assert mask_cpuinfo(text, {"avx512f", "avx2"}) == "model name\t: avx2\nflags\t\t: fpu sse\n\nflags\t\t: \n"


@pytest.mark.parametrize(("kind", "avx2"), [("avx2", True), ("sse4_2", False)])
def test_a_program_sees_what_the_kind_has(tmp_path: Path, kind: str, avx2: bool) -> None:
    if platform.machine() != "x86_64" or not all(map(shutil.which, ("gcc", "objdump", "readelf"))):
        pytest.skip("needs gcc and objdump on x86-64: that CPUID is masked is not proved")
    program = tmp_path / "program"
    subprocess.run(["gcc", "-x", "c", "-o", str(program), "-"], input=PROGRAM.encode(), check=True, stderr=-3)
    seen = run(program, {})
    assert replace_cpuid(program) == 1
    ebx, ecx, has_flag = run(program, make_environment(tmp_path, kind, build_handler(tmp_path)))
    assert has_flag == 0
    assert bool(ebx & 1 << 5) is (avx2 and bool(seen[0] & 1 << 5))
    assert (ebx & 1 << 16, ecx & 1 << 11) == (0, 0)  # AVX-512, VNNI
    assert ebx & 1 << 3 == seen[0] & 1 << 3  # BMI1 stays as it was


def run(program: Path, environment: dict[str, str]) -> list[int]:
    done = subprocess.run([str(program)], env=environment, check=True, capture_output=True, text=True)
    return [int(word) for word in done.stdout.split()]
