"""CompileProfile: a compile profile's TOML as a frozen struct, with overrides and a canonical form."""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from neuron_whisper.errors import ProfileError
from neuron_whisper.host.text_files import decode_text

_LOG = logging.getLogger(__name__)

DEFAULT_PROFILE = "cpu"
# a packaged profile's name before 0.3.0 -> the one that took its place
RENAMED_PROFILES = MappingProxyType({"cpu-float32": "cpu-exact", "cpu-int8": "cpu", "cpu-short": "cpu-fast"})
PROFILE_LIMIT_BYTES = 16 << 10  # ten times the longest; a dotted key takes tomllib the square of its length

PositiveInt = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]  # far above any size that makes sense
DType = Literal["float32", "bfloat16", "float16"]
WeightDType = Literal["float32", "bfloat16", "float16", "int8"]


class _StrictStruct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table that refuses unknown keys. kw_only is not inherited, so each table repeats it."""


class TargetTable(_StrictStruct, frozen=True, kw_only=True):
    """`dtype` is of the activations. `instance` names the kind of machine a Neuron artifact is for.

    `replicas` is how many groups of `tp` cores run the program, each with slots of its own.
    """

    name: Literal["cpu", "reference", "neuron"]
    tp: PositiveInt = 1
    replicas: PositiveInt = 1
    dtype: DType = "float32"
    instance: str = ""


class ShapesTable(_StrictStruct, frozen=True, kw_only=True):
    """`prompt_buckets` and `text_context` are cut to the model's own text context.

    `audio_contexts` are shorter windows of the encoder for short audio, in its positions (20 ms): approximate.
    `skip_padding`: of short audio the encoder computes the positions of audio alone, and takes what the padding of a
    window of a voice has for the rest: approximate.
    """

    slots: PositiveInt = 8
    beams: PositiveInt = 1
    encode_batch: PositiveInt = 1
    prompt_buckets: Annotated[tuple[PositiveInt, ...], msgspec.Meta(min_length=1)] = (4, 32, 256)
    text_context: PositiveInt = 448
    align: bool = False
    audio_contexts: tuple[PositiveInt, ...] = ()
    skip_padding: bool = False


class WeightsTable(_StrictStruct, frozen=True, kw_only=True):
    """`dtype` is of the decoder's matrices.

    `encoder` "int8" lets the encoder compute in 8 bit with static scales, which the package has for some models and
    `calibrate` makes for others; without scales, and with "", it computes in the target's dtype.
    """

    dtype: WeightDType = "float32"
    encoder: Literal["", "int8"] = ""


class GraphArgsTable(_StrictStruct, frozen=True, kw_only=True):
    """Arguments for the graphs of one kind, before those for all."""

    encode: tuple[str, ...] = ()
    prefill: tuple[str, ...] = ()
    decode: tuple[str, ...] = ()
    logits: tuple[str, ...] = ()
    align: tuple[str, ...] = ()


class CompilerTable(_StrictStruct, frozen=True, kw_only=True):
    """`priority_graph` is the graph for which neuronx-cc chooses how weights lie; the others follow it. "": none."""

    args: tuple[str, ...] = ()
    graphs: GraphArgsTable = GraphArgsTable()
    priority_graph: Literal["", "decode"] = ""


class CompileProfile(_StrictStruct, frozen=True, kw_only=True):
    """One `compile_profiles/*.toml`, `format = 1`. A model's sizes are not repeated here: config.json has them."""

    format: Literal[1] = 1
    target: TargetTable
    shapes: ShapesTable = ShapesTable()
    weights: WeightsTable = WeightsTable()
    compiler: CompilerTable = CompilerTable()

    def to_canonical(self) -> dict[str, Any]:
        """Plain, fully resolved data: equal profiles give equal canonical forms."""
        tables: dict[str, Any] = msgspec.to_builtins(self)
        if self.target.replicas == 1:  # left out, so that artifacts from before there were replicas keep their key
            del tables["target"]["replicas"]
        if not self.shapes.audio_contexts:  # the same
            del tables["shapes"]["audio_contexts"]
        if not self.shapes.skip_padding:  # the same
            del tables["shapes"]["skip_padding"]
        if not self.weights.encoder:  # the same
            del tables["weights"]["encoder"]
        if self.compiler.graphs == GraphArgsTable():  # the same
            del tables["compiler"]["graphs"]
        if not self.compiler.priority_graph:  # the same
            del tables["compiler"]["priority_graph"]
        return tables

    @property
    def is_approximate(self) -> bool:
        """Whether its text may differ from a full encoder's: short windows, padding not computed, 8-bit products."""
        return bool(self.shapes.audio_contexts or self.shapes.skip_padding or self.weights.encoder)

    def to_toml(self) -> str:
        """The resolved profile as TOML; reading it back gives an equal profile."""
        tables = self.to_canonical()
        lines = [f"format = {tables.pop('format')}"]
        for table, values in tables.items():
            lines += ["", f"[{table}]", *(f"{key} = {_to_toml_value(value)}" for key, value in values.items())]
        return "\n".join(lines) + "\n"


def _to_toml_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_to_toml_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_to_toml_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, str):
        # a JSON string is a TOML basic string, but for DEL, which TOML wants escaped
        return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
    return str(value)


def parse_profile(text: str, source: str = "profile", overrides: Mapping[str, object] | None = None) -> CompileProfile:
    """A profile from TOML text, with overrides such as {"target.tp": 2}.

    Raises ProfileError which names the source, the key, the value and what is allowed.
    """
    if len(text) > PROFILE_LIMIT_BYTES:
        raise ProfileError(source, f"it has more than {PROFILE_LIMIT_BYTES} characters")
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError, MemoryError) as error:  # TOMLDecodeError is a ValueError
        raise ProfileError(source, f"not TOML: {str(error) or type(error).__name__}") from None
    for key, value in (overrides or {}).items():
        *tables, name = key.split(".")
        inner: Any = data
        for table in tables:
            inner = inner.setdefault(table, {}) if isinstance(inner, dict) else None
        if not tables or not name or not isinstance(inner, dict):
            raise ProfileError(source, f"override {key!r}: give it as table.key")
        inner[name] = value
    try:
        return msgspec.convert(data, CompileProfile)
    except msgspec.ValidationError as error:
        raise ProfileError(source, f"{error}{_describe_value_at(data, str(error))}") from None


def _describe_value_at(data: Mapping[str, Any], message: str) -> str:
    """msgspec names the place (`$.target.tp`), but not what stood there, nor which words were allowed."""
    _, found, place = message.partition("`$.")
    if not found:
        return ""
    value: Any = data
    kind: Any = CompileProfile
    for part in re.findall(r"[^.\[\]]+", place.split("`")[0]):
        if isinstance(value, list):
            value = value[int(part)]
        elif isinstance(value, Mapping) and part in value:
            value, kind = value[part], get_type_hints(kind).get(part)
        else:
            return ""
    if isinstance(value, Mapping):
        return ""
    allowed = (str(word) or '""' for word in get_args(kind))
    words = f"; allowed: {', '.join(allowed)}" if get_origin(kind) is Literal else ""
    try:
        found = repr(value)[:200]
    except (ValueError, RecursionError):  # of an integer of thousands of digits, or of a deep list
        found = type(value).__name__
    return f" (found {found}{words})"


def find_profiles_directory() -> Path:
    """The directory of the profiles that come with the package: inside the wheel, or next to a checkout's package."""
    package = Path(__file__).parent
    installed = package / "compile_profiles"
    return installed if installed.is_dir() else package.parent / "compile_profiles"


def list_profiles() -> dict[str, Path]:
    """name -> file of the profiles that come with the package."""
    return dict(sorted((path.stem, path) for path in find_profiles_directory().glob("*.toml")))


def follow_renaming(name_or_path: str) -> str:
    """What a profile's earlier name leads to, "cpu-int8" -> "cpu", said once in the log; any other as it is.

    A file of that name is its owner's profile.
    """
    if name_or_path not in RENAMED_PROFILES or Path(name_or_path).is_file():
        return name_or_path
    log_renaming(name_or_path)
    return RENAMED_PROFILES[name_or_path]


@cache  # once a process, however often the profile is loaded
def log_renaming(name: str) -> None:
    """The line that says which profile is used in place of an earlier one."""
    new = RENAMED_PROFILES[name]
    _LOG.warning("profile: %s leads to %s, which took its place in 0.3.0; name %s", name, new, new)


def to_profile_name(name_or_path: str) -> str:
    """The name that an artifact's manifest gets: "cpu-int8" -> "cpu", "profiles/mine.toml" -> "mine"."""
    return strip_profile_path(follow_renaming(name_or_path))


def strip_profile_path(name_or_path: str) -> str:
    """ "profiles/mine.toml" -> "mine"; a name as it is."""
    return Path(name_or_path).stem if name_or_path.endswith(".toml") else name_or_path


def find_profile_name(profile: CompileProfile) -> str | None:
    """The packaged profile with exactly these settings, "cpu-fast"; None for any other, such as one with overrides."""
    return next((name for name in list_profiles() if load_profile(name) == profile), None)


def load_profile(name_or_path: str, overrides: Mapping[str, object] | None = None) -> CompileProfile:
    """A profile by name ("cpu-fast"), earlier name or path. Raises ProfileError naming the known ones."""
    known, current = list_profiles(), follow_renaming(name_or_path)
    path = known.get(current, Path(current))
    if not path.is_file():
        raise ProfileError(name_or_path, f"no such profile; known: {', '.join(known)}; or give a .toml file")
    try:
        with path.open("rb") as file:
            content = file.read(PROFILE_LIMIT_BYTES + 1)
        text = decode_text(content)
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(str(path), str(error)) from None
    return parse_profile(text, str(path), overrides)
