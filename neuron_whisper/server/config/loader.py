"""Loads settings from flags, environment variables and a TOML file, in that order, with the source of each value."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from neuron_whisper.errors import InvalidOption, UnknownOption
from neuron_whisper.host.text_files import decode_text
from neuron_whisper.server.config.schema import SettingSpec, list_setting_specs

ENV_PREFIX = "NEURON_WHISPER_"
DEFAULT_SOURCE = "default"
T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSettings(Generic[T]):
    """Settings and the source of each: "--port", "NEURON_WHISPER_PORT", "serve.toml" or "default"."""

    settings: T
    sources: Mapping[str, str]

    def to_toml(self) -> str:
        """The settings as a TOML file with the sources as comments, without secrets."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        rows = []
        for name, spec in list_setting_specs(type(self.settings)).items():
            value = getattr(self.settings, name)
            line = f"{name} = {_format_toml(value)}" if value is not None else f"# {name} is not set"
            if spec.is_secret and value is not None:
                line = f'# {name} = "***"'
            rows.append((line, self.sources[name]))
        width = max(len(line) for line, _ in rows)
        for line, source in rows:
            yield f"{line:<{width}}  # {source}"


def load_settings(
    settings_class: type[T],
    *,
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    file: Path | None = None,
    defaults_by_compat: Mapping[str, Mapping[str, object]] | None = None,
) -> LoadedSettings[T]:
    """Settings from `flags` (by field name), NEURON_WHISPER_<NAME> of `environment`, and the TOML file.

    `defaults_by_compat` has the defaults that a value of the setting `compat` brings.

    Raises InvalidOption with field, value, what is allowed and the source, also where the file cannot be read.
    """
    specs = list_setting_specs(settings_class)
    from_file = _read_toml(file, specs) if file is not None else {}
    values: dict[str, Any] = {}
    sources = dict.fromkeys(specs, DEFAULT_SOURCE)
    for name, spec in specs.items():
        variable = ENV_PREFIX + name.upper()
        if name in flags:
            source, value, is_text = spec.flag, flags[name], True
        elif variable in environment:
            source, value, is_text = variable, environment[variable], True
        elif name in from_file:
            source, value, is_text = str(file), from_file[name], False
        else:
            continue
        sources[name] = source
        try:
            values[name] = spec.convert(value, is_text=is_text)
        except InvalidOption as error:
            raise _with_source(error, source) from None
    compat = str(values.get("compat", ""))
    for name, default in (defaults_by_compat or {}).get(compat, {}).items():
        if sources[name] == DEFAULT_SOURCE:
            values[name], sources[name] = default, f"default with compat = {compat}"
    try:
        return LoadedSettings(settings=settings_class(**values), sources=sources)
    except InvalidOption as error:  # validations across fields
        raise _with_source(error, sources.get(error.field, "")) from None


def _with_source(error: InvalidOption, source: str) -> InvalidOption:
    return error.with_note(f" (from {source})") if source not in ("", DEFAULT_SOURCE) else error


def _read_toml(file: Path, specs: Mapping[str, SettingSpec]) -> dict[str, Any]:
    try:
        values = tomllib.loads(decode_text(file.read_bytes()))
    except OSError as error:
        raise InvalidOption("config", str(file), f"a file that can be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidOption("config", str(file), f"a TOML file ({error})") from error
    for name in values:
        if name not in specs:
            raise UnknownOption(name, specs, kind="setting").with_note(f" (from {file})")
    return values


def _format_toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_format_toml, value))}]"
    if isinstance(value, str | Path):
        return json.dumps(str(value), ensure_ascii=False)  # JSON strings are valid TOML basic strings
    return str(value).lower() if isinstance(value, bool) else repr(value)
