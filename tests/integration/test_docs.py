"""README and docs/: examples run, commands and flags exist, links lead somewhere, generated pages are current."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import rich_click as click

from tests.support.command_lines import find_calls, list_flags, parse_command_line
from tests.support.documents import (
    CodeBlock,
    PageSession,
    list_anchors,
    read_blocks,
    read_links,
    read_prose,
    read_table,
)
from tests.support.paths import ROOT
from tests.support.scripted_model import (
    synthesize_speech,
    write_mp3,
    write_scripted_checkpoint,
    write_wav,
)
from tests.support.servers import run_server
from tests.support.tiny_models import TINY_DIMS

README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "deploy" / "README.md", *DOCS]
BLOCKS = [block for page in PAGES for block in read_blocks(page)]
SHELL = [block for block in BLOCKS if block.language == "sh"]
PYTHON = [block for block in BLOCKS if block.language == "python"]
MODELS = {"openai/whisper-base": 51_865, "openai/whisper-tiny.en": 51_864}  # hub id, size of the vocabulary
LONGEST_LINE = 120

# flags in prose that belong to other programs
FOREIGN_FLAGS = {
    "--auto-cast",
    "--build-arg",
    "--cache_dir",
    "--cc-pipeline-tiling-factor",
    "--command",
    "--enable-ccop-compute-overlap",
    "--extra-index-url",
    "--group-add",
    "--implicit-integer-downcast",
    "--lnc",
    "--logfile",
    "--model-type",
    "--native-int64",
    "--no-deps",
    "--output_format",
    "--retry_failed_compilation",
    "--tensorizer-options",
    "--upgrade",
    "--vectorize-strided-dma",
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


# --- pages ----------------------------------------------------------------------------------------


def test_the_readme_is_at_most_150_lines_and_8_kb() -> None:
    text = README.read_bytes()
    assert text.count(b"\n") <= 150
    assert len(text) <= 8 * 1024


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_has_no_long_line_outside_tables_and_code(page: Path) -> None:
    lines = [line for line in read_prose(page).splitlines() if not line.lstrip().startswith("|")]
    assert [line for line in lines if len(line) > LONGEST_LINE] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_links_of_a_page_lead_to_a_file_and_a_heading(page: Path) -> None:
    for link in read_links(page):
        if re.match(r"[a-z]+://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in list_anchors(target), link


def test_every_page_is_linked_from_another() -> None:
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in read_links(page)}
    assert [name_of(page) for page in DOCS if page not in linked] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_names_nothing_beside_the_repository(page: Path) -> None:
    assert "../shared" not in page.read_text(encoding="utf-8")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_current() -> None:
    stale = [name_of(path) for path, text in generator().generate().items() if path.read_text() != text]
    assert stale == [], "run: make docs"


# --- code blocks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in ("json", "toml")], ids=str)
def test_data_in_a_block_can_be_parsed(block: CodeBlock) -> None:
    (json.loads if block.language == "json" else tomllib.loads)(block.text)


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_in_a_block_compiles(block: CodeBlock) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_shell_in_a_block_parses(block: CodeBlock) -> None:
    done = subprocess.run(["bash", "-n", "-c", block.text], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_of_a_page_are_those_of_the_program(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "speech.mp3",
        "interview.wav",
        "MANIFEST",
        "manifest.tsv",
        "base.tar",
        "serve.toml",
        "telephone.safetensors",
    ):  # arguments that must exist
        Path(name).touch()
    quoted = re.findall(r"`neuron-whisper ([^`]+)`", read_prose(page))
    calls = [args for block in SHELL if block.page == page for args in find_calls(block.text)]
    for args in [*calls, *map(shlex.split, quoted)]:
        if args in (["keys"], ["keys", "create"]):  # a name alone
            continue
        try:
            parse_command_line(args)
        except click.UsageError as error:
            raise AssertionError(f"neuron-whisper {shlex.join(args)}: {error.format_message()}") from error


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of)
def test_flags_in_prose_exist(page: Path) -> None:
    in_code = [
        code
        for code in re.findall(r"`([^`\n]+)`", read_prose(page))
        if not re.search(r"\bmake |GOALS=| -m benchmarks", code)
    ]
    named = {flag for code in in_code for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*\w(?![\w-]*\*)", code)}
    assert sorted(named - list_flags() - FOREIGN_FLAGS) == []


def test_make_targets_and_modules_that_pages_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    text = "\n".join(page.read_text() for page in PAGES if page.name != "CHANGELOG.md")
    for target in set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", text, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for module in set(re.findall(r"python -m (benchmarks[\w.]*\w|neuron_whisper[\w.]*\w)", text)):
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


# --- tables ---------------------------------------------------------------------------------------


def test_the_table_of_metrics_is_what_the_server_exports() -> None:
    with run_server() as server, server.client() as client:
        exported = re.findall(r"^# TYPE neuron_whisper_(\w+) (\w+)$", client.get("/metrics").text, re.MULTILINE)
    page = ROOT / "docs" / "server" / "operations.md"
    documented = {name for row in read_table(page, "checked: metrics") for name in re.findall(r"`(\w+)`", row[0])}
    assert documented == {name for name, _ in exported if not name.endswith("_created")}


def test_the_table_of_error_codes_is_what_the_server_answers() -> None:
    source = (ROOT / "neuron_whisper" / "server" / "http" / "errors.py").read_text()
    answered = set(re.findall(r'code="(\w+)"', source)) | set(re.findall(r'return "(\w+)"$', source, re.MULTILINE))
    page = ROOT / "docs" / "server" / "http-api.md"
    documented = {
        code for row in read_table(page, "checked: error codes") for code in re.findall(r"`(\w+)`", row[1])
    } - {"null"}
    assert answered - {"client_gone"} <= documented
    others = "".join(path.read_text() for path in (ROOT / "neuron_whisper" / "server").rglob("*.py"))
    assert [code for code in documented if f'"{code}"' not in others] == []


def test_answers_in_the_documentation_are_those_of_the_server() -> None:
    (refusal,) = (it for it in BLOCKS if it.page.name == "http-api.md" and it.language == "json")
    (answer,) = (it for it in BLOCKS if it.page.name == "quickstart.md" and it.language == "json")
    with run_server() as server:
        assert server.post(beamsize="5").json() == json.loads(refusal.text)
        assert server.post().json().keys() == json.loads(answer.text).keys()


def expand_braces(name: str) -> list[str]:
    """audio/{clip,load} -> [audio/clip, audio/load]"""
    before, found, rest = name.partition("{")
    return [f"{before}{member}" for member in rest.rstrip("}").split(",")] if found else [name]


def test_the_table_of_layers_has_every_module_and_no_other() -> None:
    rows = read_table(ROOT / "docs" / "architecture.md", "checked: layers")
    named = [name for row in rows for cell in re.findall(r"`([^`]+)`", row[1]) for name in expand_braces(cell)]
    package = ROOT / "neuron_whisper"
    modules = {
        path.relative_to(package).with_suffix("").as_posix()
        for path in package.rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py")
    }

    assert [name for name in named if not (package / name).is_dir() and name not in modules] == []
    assert sorted(it for it in modules if not any(it == name or it.startswith(f"{name}/") for name in named)) == []


# --- examples -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face cache in which the models of the examples are tiny ones."""
    home = tmp_path_factory.mktemp("huggingface")
    for hub_id, n_vocab in MODELS.items():
        folder = home / "hub" / f"models--{hub_id.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text("0" * 40)
        write_scripted_checkpoint(folder / "snapshots" / ("0" * 40), dims=replace(TINY_DIMS, n_vocab=n_vocab))
    return home


@pytest.fixture(scope="module")
def environment(hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of commands: this checkout, no network, and a cache of their own with the default artifacts."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NEURON_WHISPER_", "HF_"))}
    made = kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path_factory.mktemp("home")),
        "HF_HOME": str(hub),
        "HF_HUB_OFFLINE": "1",
        "NEURON_WHISPER_CACHE": str(tmp_path_factory.mktemp("compiled") / "cache"),
        "NEURON_WHISPER_DRAIN_S": "2",
    }
    for model in ("base", "tiny.en"):
        command = ["neuron-whisper", "compile", "--quiet", "--model", model]
        subprocess.run(command, env=made, stdout=subprocess.DEVNULL, check=True)
    return made


@pytest.fixture
def session(environment: Mapping[str, str], tmp_path: Path) -> Iterator[PageSession]:
    """A reader's directory with recordings."""
    write_mp3(tmp_path / "speech.mp3", synthesize_speech(3.0))
    write_wav(tmp_path / "interview.wav", synthesize_speech(6.0))
    with PageSession(tmp_path, environment) as made:
        yield made


RUN_PAGES = [
    page for page in PAGES
    if any(block.not_run is None for block in [*SHELL, *PYTHON] if block.page == page)
]  # fmt: skip


@pytest.mark.parametrize("page", RUN_PAGES, ids=name_of)
def test_the_examples_of_a_page_run_in_order(page: Path, session: PageSession) -> None:
    session.run(
        block for block in BLOCKS if block.page == page and block.language in ("sh", "python") and block.not_run is None
    )


def test_most_examples_run() -> None:
    examples = [*SHELL, *PYTHON]
    assert sum(block.not_run is None for block in examples) >= 0.6 * len(examples)
