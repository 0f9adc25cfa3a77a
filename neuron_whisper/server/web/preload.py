"""The modules of the page's first view, which the browser asks for at once, not one import after another."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from neuron_whisper.server.web.static_files import StaticFiles

ENTRY = "app/main.js"
# `import x from "./a.js"`, `import "./a.js"`, `export {x} from "./a.js"`; not `import("./a.js")`, which is for later
STATIC_IMPORT = re.compile(r"""^(?:import|export)\b[^;"'()]*["'](\.[^"']+)["']""", re.MULTILINE)


def list_first_modules(files: StaticFiles, entry: str = ENTRY) -> list[str]:
    """Paths of the entry and of all that it imports, in the order they are met; without the entry: none."""
    met = dict.fromkeys([entry] if entry in files.by_path else [])
    waiting = list(met)
    while waiting:
        for path in _list_imports(files, waiting.pop(0)):
            if path in files.by_path and path not in met:
                met[path] = None
                waiting.append(path)
    return list(met)


def _list_imports(files: StaticFiles, path: str) -> Iterator[str]:
    for relative in STATIC_IMPORT.findall(files.by_path[path].body.decode()):
        yield posixpath.normpath(posixpath.join(posixpath.dirname(path), relative))


def render_preloads(files: StaticFiles) -> str:
    """<link> elements for them, with URLs relative to the page's own."""
    return "\n".join(f'<link rel="modulepreload" href="{files.url}/{path}">' for path in list_first_modules(files))
