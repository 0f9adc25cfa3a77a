"""Runs a command in a child process and reports what it, and every child of its own, did to network and files.

Two witnesses: an audit hook in every Python (audit_site/sitecustomize.py), which is always there, and strace, which
sees C++ as well and is used where it is installed and may trace.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.paths import ROOT

AUDIT_SITE = Path(__file__).parent / "audit_site"
TIMEOUT_S = 120.0
KERNEL_FOLDERS = (Path("/dev"), Path("/proc"))  # no file of theirs outlives the process but in /dev/shm
NAME_SERVICE_FILES = ("/etc/resolv.conf", "/etc/hosts")  # read by every lookup of a name, whatever library asks
TRACED_CALLS = "connect,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2"
_PEER = re.compile(r'sin6?_port=htons\(\d+\).*?(?:inet_addr\("([^"]+)"|inet_pton\(AF_INET6, "([^"]+)")')
_PATHS = re.compile(r'"((?:[^"\\]|\\.)*)"')
_WRITE_FLAGS = re.compile(r"O_WRONLY|O_RDWR|O_CREAT")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """`lookups`: names that were to be resolved; `remote`: addresses beyond loopback that were connected or sent to;
    `written`: absolute paths that were opened for writing, made or renamed to."""

    lookups: tuple[str, ...]
    remote: tuple[str, ...]
    written: tuple[Path, ...]

    def written_outside(self, *folders: Path) -> list[Path]:
        """What was written elsewhere, without Python's own cache of compiled modules."""
        allowed = [*map(Path.resolve, folders), *KERNEL_FOLDERS]
        written = (path for path in self.written if "__pycache__" not in path.parts)
        return [path for path in written if not any(path.is_relative_to(folder) for folder in allowed)]


@dataclass(frozen=True, slots=True)
class Audit:
    """Where the events of one command go. `folder` has home/ and tmp/, which are the command's HOME and TMPDIR."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def work(self) -> Path:
        """The command's working directory."""
        return self.folder / "work"

    def environment(self) -> Mapping[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(AUDIT_SITE))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AUDIT_LOG": str(self.folder / "audit.jsonl"),
        }

    def command(self, *args: object) -> list[str]:
        """The neuron-whisper command, under strace where that works."""
        # -D: the traced process is the child of this one, and gets its signals
        traced = [*_strace(), "-o", str(self.folder / "trace")] if can_trace() else []
        return [*traced, sys.executable, "-m", "neuron_whisper", *map(str, args)]

    def python_report(self) -> AuditReport:
        """What the audit hooks saw."""
        lines = (self.folder / "audit.jsonl").read_text().splitlines()
        events = [(event, args) for _, event, args in map(json.loads, lines)]
        lookups = [args[0] for event, args in events if event in ("socket.getaddrinfo", "socket.gethostbyname")]
        targets = [args[-1] for event, args in events if event in ("socket.connect", "socket.sendto", "socket.sendmsg")]
        hosts = [target[0] for target in targets if isinstance(target, list)]
        written = [args[0] for event, args in events if event in ("open", "os.mkdir")]
        written += [args[1] for event, args in events if event in ("os.rename", "os.link", "os.symlink")]
        return AuditReport(
            lookups=tuple(host for host in lookups if isinstance(host, str) and not _is_address(host)),
            remote=tuple(host for host in hosts if not _is_loopback(host)),
            written=tuple(self._absolute(path) for path in written if isinstance(path, str)),
        )

    def system_report(self) -> AuditReport:
        """What strace saw."""
        lookups: list[str] = []
        remote: list[str] = []
        written: list[Path] = []
        for file in self.folder.glob("trace.*"):
            for line in file.read_text(errors="replace").splitlines():
                call, _, rest = line.partition("(")
                paths = _PATHS.findall(rest)
                if call in ("connect", "sendto", "sendmsg", "sendmmsg"):
                    remote += [host for pair in _PEER.findall(rest) for host in pair if host and not _is_loopback(host)]
                elif " = -1 " in rest or not paths:
                    continue
                elif call.startswith(("mkdir", "rename", "creat")) or _WRITE_FLAGS.search(rest):
                    written.append(self._absolute(paths[-1]))
                elif paths[0] in NAME_SERVICE_FILES:
                    lookups.append(paths[0])
        return AuditReport(lookups=tuple(lookups), remote=tuple(remote), written=tuple(written))

    def _absolute(self, path: str) -> Path:
        return Path(os.path.normpath(self.work / path))


def make_audit(folder: Path) -> Audit:
    audit = Audit(folder)
    for made in (audit.home, audit.temporary, audit.work):
        made.mkdir(parents=True)
    (folder / "audit.jsonl").touch()
    return audit


def run_audited(audit: Audit, *args: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a neuron-whisper command to its end, with further environment variables."""
    return subprocess.run(
        audit.command(*args),
        env={**audit.environment(), **variables},
        cwd=audit.work,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


@contextmanager
def serve_audited(audit: Audit, *args: object) -> Iterator[str]:
    """The URL of a server that ends by SIGTERM with the block."""
    with subprocess.Popen(
        audit.command("serve", *args, "--port", 0),
        env=audit.environment(),
        cwd=audit.work,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            seen = []
            for line in process.stderr:
                seen.append(line)
                if line.startswith("listening on "):
                    yield line.split()[-1]
                    break
            else:
                raise AssertionError("".join(seen))
        finally:
            process.terminate()
            process.communicate(timeout=TIMEOUT_S)


@cache
def can_trace() -> bool:
    """Whether strace is installed and this process may trace its children."""
    if not shutil.which("strace"):
        return False
    tried = subprocess.run([*_strace(), "-o", "/dev/null", "true"], capture_output=True, check=False)
    return tried.returncode == 0


def _strace() -> Sequence[str]:
    """One file for each process; filters in the kernel, or every system call would stop the process twice."""
    return "strace", "-D", "-ff", "--seccomp-bpf", "-s", "300", "-e", f"trace={TRACED_CALLS}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host in ("", "localhost")
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"
