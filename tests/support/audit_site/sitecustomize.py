"""Python imports this at start where its folder is on PYTHONPATH: logs what the process does to network and files.

One JSON line an event in the file of $AUDIT_LOG: [process id, event, arguments]. Children that a process forks are
logged too; those of C++ threads are not, which is what strace is for.
"""

import json
import os
import sys

EVENTS = frozenset(
    {
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.gethostbyaddr",
        "socket.getnameinfo",
        "socket.connect",
        "socket.sendto",
        "socket.sendmsg",
        "os.mkdir",
        "os.rename",
        "os.link",
        "os.symlink",
        "subprocess.Popen",
        "os.exec",
        "os.posix_spawn",
        "os.fork",
    }
)
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _start() -> None:
    log = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def on_event(event: str, args: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if not isinstance(flags, int) or not flags & WRITES or isinstance(path, int):
                return
        elif event not in EVENTS:
            return
        line = json.dumps([os.getpid(), event, [os.fsdecode(a) if isinstance(a, bytes) else repr_or(a) for a in args]])
        os.write(log, line.encode() + b"\n")

    sys.addaudithook(on_event)


def repr_or(argument: object) -> object:
    if isinstance(argument, str | int | None):
        return argument
    if isinstance(argument, tuple):
        return [repr_or(part) for part in argument]
    return os.fspath(argument) if isinstance(argument, os.PathLike) else repr(argument)


if "AUDIT_LOG" in os.environ:
    _start()
