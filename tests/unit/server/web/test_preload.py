"""Which modules the page names for preloading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from neuron_whisper.server.web.preload import ENTRY, list_first_modules, render_preloads
from neuron_whisper.server.web.static_files import STATIC_DIRECTORY, StaticFiles

SOURCES = {
    "app/main.js": """\
import { html } from "../vendor/h.js";
import {
  a,
  b,
} from "./ui/a.js";
import "./once.js";
""",
    "app/ui/a.js": 'export { b } from "./b.js";\nconst later = () => import("../later.js");\n',
    "app/ui/b.js": 'import { a } from "./a.js"; // a circle\n',
    "app/once.js": """\
// import { x } from "./comment.js"
const text = "from './text.js'";
import { gone } from "./gone.js";
""",
    "app/later.js": "",
    "app/comment.js": "",
    "app/text.js": "",
    "vendor/h.js": "",
}


@pytest.fixture
def files(tmp_path: Path) -> StaticFiles:
    for path, text in SOURCES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return StaticFiles.load(tmp_path)


def test_all_that_the_entry_imports_is_named_once_and_nothing_that_is_imported_later(files: StaticFiles) -> None:
    modules = list_first_modules(files)
    assert modules == ["app/main.js", "vendor/h.js", "app/ui/a.js", "app/once.js", "app/ui/b.js"]


def test_the_links_are_relative_to_the_page(files: StaticFiles) -> None:
    links = re.findall(r'<link rel="modulepreload" href="([^"]+)">', render_preloads(files))
    assert links == [f"static/{files.digest}/{path}" for path in list_first_modules(files)]


def test_without_the_entry_there_is_none(files: StaticFiles) -> None:
    assert list_first_modules(files, "app/none.js") == []


def test_the_pages_own_first_view_loads_no_waveform_and_no_other_view() -> None:
    modules = list_first_modules(StaticFiles.load(STATIC_DIRECTORY))
    assert modules[0] == ENTRY
    assert "app/transcribe/TranscribeView.js" in modules
    assert not [path for path in modules if re.match(r"app/(live|health|history|player|transcript)/|vendor/wave", path)]
