"""The hash of graph sources: what changes an artifact's key, and what does not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neuron_whisper.artifact import source_hash
from neuron_whisper.artifact.source_hash import graph_source_files, hash_code, hash_sources

# Every kind of statement and expression that 3.11 knows, with what Pythons' trees differ in: f-strings, empty fields.
SAMPLE = '''
"""Module."""
from __future__ import annotations
import a.b as c, d
from .x import (y, z as w)
@deco(1, k=2.5)
class A(B, metaclass=M):
    """Class."""
    f: int = 3
    g: str
    async def h(self, /, p, *q, r: int = 1, **s) -> None:
        """Function."""
        # comment
        async with e as f, g: await i
        async for j in k: yield j
def gen(x=..., y=b"\\x00", z=1j):
    global q
    k = lambda a, *b, c=1: a if b else c
    del k
    try: pass
    except (E, F) as err: raise G("a" f"b{x!r:>{w}}c{x=}{y}{z:}" 'd') from err
    except H: ...
    else: x += 1
    finally: assert x, f"{x:.3f}{'nested'}"
    while True:
        if (n := x) > 1 < y != z is not None not in w: break
        elif not x or y and z: continue
    for i, (j, *k) in enumerate(l, 1): print(i, end="")
    match x:
        case 1 | 2: pass
        case {"k": v, **r}: pass
        case [a, *_, b] if a: pass
        case P(1, k="x"): pass
        case None: pass
        case _ as t: pass
    l = [i for i in x if i for j in i]; s = {1, 2, *x}; d = {**e, "a": 1}; m = {k: v for k, v in x}
    u = x[1:2, ::3, ...] @ y // z ** -w << 1 | ~2; v = u"old"; z = "\\u00e9\\n" "b"; f = f""; h = f"{x}" f"{y}"
    with open(p) as (a), b: yield from u
'''
STORED = "539a1325a09a03be3b2d1a3886fd637a0b080e5f1c87d2b751a61ff4aabdfec6"


def test_hash_code_is_the_stored_one_on_every_supported_python() -> None:
    assert hash_code(SAMPLE) == STORED


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_hash_code_is_the_stored_one_on_each_python_of_this_machine(version: str, tmp_path: Path) -> None:
    python = shutil.which(f"python{version}")
    if sys.version.startswith(version):
        python = sys.executable
    if python is None or subprocess.run([python, "-c", ""], capture_output=True).returncode:  # a launcher of nothing
        pytest.skip(f"python{version} is not installed: not proved here")
    (tmp_path / "sample.py").write_text(SAMPLE, encoding="utf-8")
    script = (
        "import importlib.util, pathlib, sys\n"
        "spec = importlib.util.spec_from_file_location('source_hash', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "print(module.hash_code(pathlib.Path(sys.argv[2]).read_text(encoding='utf-8')))\n"
    )
    run = subprocess.run(
        [python, "-c", script, source_hash.__file__, str(tmp_path / "sample.py")], capture_output=True, text=True
    )
    assert run.stdout.strip() == STORED, run.stderr


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1\n", "# a comment\nx = 1  # another\n"),
        ("def f():\n    return 1\n", 'def f():\n    """A docstring."""\n    return 1\n'),
        ('"""One."""\nx = f(1,2)\n', '"""Another."""\n\n\nx = f(\n    1,\n    2,\n)\n'),
        ("class A:\n    x: int = 1\n", 'class A:\n    """A."""\n\n    x: int = 1\n'),
    ],
    ids=["comment", "docstring", "layout", "class"],
)
def test_hash_code_ignores(before: str, after: str) -> None:
    assert hash_code(before) == hash_code(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1", "x = 2"),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 'a'", "x = b'a'"),
        ("x = None", "x = ..."),
        ("f(a)", "f(*a)"),
        ("x[1:]", "x[:1]"),
        ("f'{x!r}'", "f'{x!s}'"),
        ("def f(a, /): pass", "def f(a): pass"),
        ("x = y", "x = z"),
        ("return_ = 'doc'", "'doc'"),
    ],
)
def test_hash_code_sees(before: str, after: str) -> None:
    assert hash_code(before) != hash_code(after)


@pytest.mark.parametrize("target", ["cpu", "neuron"])
def test_a_comment_in_any_hashed_file_keeps_the_hash_and_a_line_changes_it(target: str, tmp_path: Path) -> None:
    files = graph_source_files(target)
    for index, path in enumerate(files):
        other = tmp_path / f"{index}" / path.name
        other.parent.mkdir()
        text = path.read_text(encoding="utf-8")
        others = [*files[:index], other, *files[index + 1 :]]
        other.write_text(f"# a comment\n{text}\n# and another\n", encoding="utf-8")
        assert hash_sources(others) == hash_sources(files), path
        other.write_text(f"{text}\nADDED = 1\n", encoding="utf-8")
        assert hash_sources(others) != hash_sources(files), path


def test_graph_source_files_are_the_graphs_the_lowering_the_interfaces_and_the_sharding() -> None:
    names = {str(path.relative_to(source_hash.PACKAGE_DIRECTORY)) for path in graph_source_files("cpu")}
    assert {name for name in names if not name.startswith(("graph/", "target/cpu/lowering/"))} == {
        "target/interfaces.py",
        "model/sharding.py",
        "audio/synthetic_voice.py",
        "target/cpu/encoder_scales.py",
    }
    assert {"graph/whisper.py", "target/cpu/lowering/lowering.py"} <= names
    assert not any("runtime" in name for name in names)


def test_hash_sources_sees_names_and_code_but_neither_folders_nor_order(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text("x = 1\n")
        (tmp_path / folder / "b.py").write_text("y = 2\n")
    one = sorted((tmp_path / "one").iterdir())
    two = sorted((tmp_path / "two").iterdir(), reverse=True)
    assert hash_sources(one) == hash_sources(two)
    (tmp_path / "two/b.py").rename(tmp_path / "two/c.py")
    assert hash_sources((tmp_path / "two").iterdir()) != hash_sources(one)
