"""Markdown pages: their code blocks, links and tables; and a shell session that follows a page as its reader would."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Self

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\n\Z")
FILE_NAME = re.compile(r"# (\w+\.py)\n")
SERVE = re.compile(r"(?:\w+=\S+ )*neuron-whisper serve\b(?!.*--print-config)")
PORTS = (8000, 9000)  # in examples; each page gets free ones
TIMEOUT_S = 180.0  # of a block, on a machine that does other things too


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBlock:
    """A fenced block. `not_run`: why it cannot be run, from the comment before it."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None

    @property
    def file_name(self) -> str | None:
        """The file that the block is, by its first line: `# receiver.py`."""
        found = FILE_NAME.match(self.text) if self.language == "python" else None
        return found[1] if found else None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def read_blocks(page: Path) -> list[CodeBlock]:
    text = page.read_text(encoding="utf-8")
    blocks = []
    for found in FENCE.finditer(text):
        reason = NOT_RUN.search(text[: found.start()])
        blocks.append(
            CodeBlock(
                page=page, line=text.count("\n", 0, found.start()) + 2, language=found[1], text=found[2],
                not_run=reason[1] if reason else None,
            )
        )  # fmt: skip
    return blocks


def read_prose(page: Path) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def list_anchors(page: Path) -> set[str]:
    """The headings as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", read_prose(page), re.MULTILINE)
    plain = (re.sub(r"\[(.+?)\]\(.+?\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in plain}


def read_links(page: Path) -> list[str]:
    return re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", read_prose(page))


def read_table(page: Path, marker: str) -> list[list[str]]:
    """The rows, without the head, of the table after the comment `marker`."""
    rest = page.read_text(encoding="utf-8").split(f"<!-- {marker} -->\n")[1]
    lines = []
    for line in rest.splitlines():
        if not line.startswith("|"):
            break
        lines.append([cell.strip() for cell in line.strip("|").split("|")])
    return lines[2:]


class PageSession:
    """Runs the blocks of one page in their order, in one directory, with what earlier ones left.

    Variables of shell blocks stay set. `serve` runs in the background until the next one or the end. The ports of
    examples are replaced by free ones.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.directory = directory
        self._ports = {port: _free_port() for port in PORTS}
        self._environment = {**environment, "NEURON_WHISPER_PORT": str(self._ports[8000])}
        self._variables = directory / ".variables"
        self._variables.touch()
        self._log = directory / ".server.log"
        self._server: subprocess.Popen[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop_server()

    def run(self, blocks: Iterable[CodeBlock]) -> None:
        """Raises AssertionError, with the output, when a command fails."""
        for is_program, members in groupby(blocks, lambda it: it.language == "python" and it.file_name is None):
            if is_program:
                self._run_programs(list(members))
            else:
                for block in members:
                    self._run_commands(block)

    def _run_programs(self, blocks: Sequence[CodeBlock]) -> None:
        """Each with names of its own, but in one process, which imports the package once."""
        programs = [(str(block), self._with_free_ports(block.text)) for block in blocks]
        driver = "import json, sys\nfor name, text in json.loads(sys.argv[1]):\n"
        driver += "    exec(compile(text, name, 'exec'), {'__name__': '__main__'})\n"
        self._run([sys.executable, "-c", driver, json.dumps(programs)], blocks[0])

    def _run_commands(self, block: CodeBlock) -> None:
        text = self._with_free_ports(block.text)
        if block.file_name is not None:
            (self.directory / block.file_name).write_text(text)
        else:
            for part, is_server in _split_at_servers(text):
                if is_server:
                    self._start_server(part, block)
                else:
                    script = f"set -euo pipefail; set -a; . ./.variables\n{part}\nexport -p > .variables\n"
                    self._run(["bash", "-c", script], block)

    def _with_free_ports(self, text: str) -> str:
        for port, free in self._ports.items():
            text = re.sub(rf'(127\.0\.0\.1:|--port |"127\.0\.0\.1", ){port}\b', rf"\g<1>{free}", text)
        return text

    def _run(self, command: list[str], block: CodeBlock) -> None:
        with (self.directory / ".output").open("w+") as output:  # a file: what runs in the background keeps it open
            done = subprocess.run(
                command, cwd=self.directory, env=self._environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, timeout=TIMEOUT_S, check=False,
            )  # fmt: skip
            output.seek(0)
            assert done.returncode == 0, f"{block} exits with {done.returncode}:\n{output.read()}\n{self._server_log()}"

    def _start_server(self, line: str, block: CodeBlock) -> None:
        self._stop_server()
        with self._log.open("w") as log:
            self._server = subprocess.Popen(
                ["bash", "-c", f". ./.variables\n{line}"], cwd=self.directory, env=self._environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        for _ in range(int(TIMEOUT_S / 0.1)):
            if "listening" in self._server_log():
                return
            try:
                code = self._server.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"{block}: the server exits with {code}:\n{self._server_log()}")
        raise AssertionError(f"{block}: the server does not listen:\n{self._server_log()}")

    def _server_log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def _stop_server(self) -> None:
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGTERM)
            self._server.wait(TIMEOUT_S)
            self._server = None


def _split_at_servers(text: str) -> Iterator[tuple[str, bool]]:
    """(commands, False) and (a line that starts a server, True), in order."""
    commands: list[str] = []
    for line in re.split(r"(?<!\\)\n", text):
        if SERVE.match(line):
            if "".join(commands).strip():
                yield "\n".join(commands), False
            commands = []
            yield line, True
        else:
            commands.append(line)
    if "".join(commands).strip():
        yield "\n".join(commands), False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
