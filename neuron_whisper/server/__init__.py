"""The HTTP face: OpenAI's audio API on a Transcriber. The only place that knows Litestar.

Names are imported when they are used: other commands read sizes as settings do, and need no web framework for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuron_whisper.server.app import create_app
    from neuron_whisper.server.config.settings import ServerSettings
    from neuron_whisper.server.run import serve

__all__ = ["ServerSettings", "create_app", "serve"]

_MODULES = {"ServerSettings": "config.settings", "create_app": "app", "serve": "run"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
