"""Stub CUDA libraries, so that the published torch imports without 2.6 GB of packages.

torch_xla 2.9.0 fits one torch binary only, and that one is linked against CUDA. The stubs hold the symbols it asks
for; each function returns 1, an error code, and none is called, for no GPU is ever found. Needs gcc and readelf.
Usage: python cuda_stubs.py TORCH/lib
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

# Library -> the prefix of its symbols; None where the linker's symbol versions already tell whose they are.
# The last one is setup.sh's sign that all are there.
STUBS = {
    "libcublas.so.12": None,
    "libcublasLt.so.12": None,
    "libcudnn.so.9": None,
    "libcufft.so.11": None,
    "libcusparse.so.12": None,
    "libcusolver.so.11": None,
    "libcurand.so.10": r"curand",
    "libcusparseLt.so.0": r"cusparseLt",
    "libnccl.so.2": r"p?nccl[A-Z]",
    "libnvshmem_host.so.3": r"nvshmem",
}


def readelf(library: Path, option: str) -> list[str]:
    command = ["readelf", "-W", option, str(library)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()


def libraries_by_version(library: Path) -> dict[str, str]:
    """Symbol version -> the library which it is wanted from, out of the "version needs" section."""
    owner: dict[str, str] = {}
    wanted_from = ""
    for line in readelf(library, "-V"):
        if file := re.search(r"File: (\S+)", line):
            wanted_from = file[1]
        if version := re.search(r"Name: (\S+)\s+Flags", line):
            owner[version[1]] = wanted_from
    return owner


def undefined_symbols(libraries: Iterable[Path]) -> dict[str, set[tuple[str, str]]]:
    """Stub -> the (symbol, version) pairs that the libraries want from it; an absent version is ""."""
    wanted: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for library in libraries:
        owner = libraries_by_version(library)
        for line in readelf(library, "--dyn-syms"):
            columns = line.split()
            if len(columns) < 8 or columns[6] != "UND":
                continue
            symbol, _, version = columns[7].replace("@@", "@").partition("@")
            for stub, prefix in STUBS.items():
                if owner.get(version) == stub or (not version and prefix and re.match(prefix, symbol)):
                    wanted[stub].add((symbol, version))
    return wanted


def build_stub(stub: Path, symbols: set[tuple[str, str]]) -> None:
    by_version: dict[str, list[str]] = defaultdict(list)
    for symbol, version in sorted(symbols):
        by_version[version].append(symbol)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "stub.c")
        names = [name for names in by_version.values() for name in names]
        source.write_text("".join(f"int {name}(void) {{ return 1; }}\n" for name in names))
        command = ["gcc", "-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{stub.name}", str(source)]
        command += ["-o", str(stub)]
        by_version.pop("", None)
        if by_version:
            script = Path(folder, "version.map")
            script.write_text("".join(f"{name} {{ {'; '.join(own)}; }};\n" for name, own in by_version.items()))
            command.append(f"-Wl,--version-script={script}")
        subprocess.run(command, check=True)


def main(torch_lib: Path) -> None:
    wanted = undefined_symbols(torch_lib.glob("*.so*"))
    for name in STUBS:
        build_stub(torch_lib / name, wanted[name])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
