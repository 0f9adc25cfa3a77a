"""The page's files as they lie in the package: what is vendored, and how our modules are cut."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

import neuron_whisper.server.web

STATIC = Path(neuron_whisper.server.web.__file__).with_name("static")
VENDOR = STATIC / "vendor"
VENDORED: dict[str, Any] = json.loads((VENDOR / "vendor.json").read_text("utf-8"))
MODULES = sorted((STATIC / "app").rglob("*.js"))
OWN = [*MODULES, *sorted(STATIC.glob("*.css")), STATIC.with_name("page.html")]
MOST_LINES = 250


def name_of(file: Path) -> str:
    return file.relative_to(STATIC.parent).as_posix()


@pytest.mark.parametrize("name", VENDORED)
def test_a_vendored_file_is_byte_for_byte_the_packages(name: str) -> None:
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == VENDORED[name]["sha256"]


@pytest.mark.parametrize("name", VENDORED)
def test_a_vendored_file_has_its_version_and_the_texts_of_its_licences(name: str) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VENDORED[name]["version"])
    assert set(VENDORED[name]["licences"].values()) <= {"MIT", "Apache-2.0", "BSD-3-Clause"}
    for licence in VENDORED[name]["licences"]:
        assert "copyright" in (VENDOR / licence).read_text("utf-8").lower()


def test_nothing_lies_beside_the_vendored_files_that_the_list_does_not_name() -> None:
    licences = {licence for entry in VENDORED.values() for licence in entry["licences"]}
    assert {file.name for file in VENDOR.iterdir()} == {*VENDORED, *licences, "vendor.json"}


@pytest.mark.parametrize("name", [name for name in VENDORED if name.endswith(".js")])
def test_a_vendored_module_names_no_other_host_but_namespaces(name: str) -> None:
    hosts = re.findall(r"(?:https?|wss?)://([^/\"'`\s]+)", (VENDOR / name).read_text("utf-8"))
    assert set(hosts) <= {"www.w3.org"}


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_module_says_its_duty_first_and_is_short(file: Path) -> None:
    lines = file.read_text("utf-8").splitlines()
    assert re.match(r"// \S.{20,}", lines[0])
    if file.name != "strings.js":  # a text is a line
        assert len(lines) <= MOST_LINES


@pytest.mark.parametrize("file", OWN, ids=name_of)
def test_our_files_load_from_nowhere_else(file: Path) -> None:
    text = file.read_text("utf-8")
    hosts = set(re.findall(r"(?:https?|wss?)://([a-z0-9.-]+[a-z0-9])", text))
    told = {"localhost"} if file.name == "strings.js" else set()  # of the microphone's text for the reader
    assert hosts <= {"www.w3.org", *told}
    assert not re.search(r"""(?:from|import\(?|src=|href=|url\()\s*["']?//""", text)
    assert not re.search(r"""(?:from|import\(?)\s*["']/""", text), "below a prefix only relative addresses work"
