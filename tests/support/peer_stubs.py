"""Stand-ins for packages of peers, which record how they are called."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from neuron_whisper.bench.engines.config import DecodingConfig, EngineConfig


class Recorder:
    """Keeps the arguments of every call; returns `results` by method."""

    def __init__(self, **results: Any) -> None:
        self.calls: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        self.results = results

    def __call__(self, *args: Any, **kwargs: Any) -> Recorder:
        self.calls["open"] = (args, kwargs)
        return self

    def __getattr__(self, name: str) -> Any:
        if name not in self.results:
            raise AttributeError(name)

        def method(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] = (args, kwargs)
            return self.results[name]

        return method


def install(monkeypatch: pytest.MonkeyPatch, module: str, **attributes: Any) -> None:
    """Put a module with these attributes where `import module` finds it."""
    parent, _, _ = module.rpartition(".")
    while parent and parent not in sys.modules:
        monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
        parent, _, _ = parent.rpartition(".")
    stub = ModuleType(module)
    stub.__dict__.update(attributes)
    monkeypatch.setitem(sys.modules, module, stub)


def engine_config(engine: str, variant: str, *, is_multilingual: bool = True, **decoding: Any) -> EngineConfig:
    return EngineConfig(
        engine=engine,
        variant=variant,
        source="weights",
        threads=3,
        decoding=DecodingConfig(**decoding),
        is_multilingual=is_multilingual,
    )
