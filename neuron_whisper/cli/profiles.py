"""Resolves --profile, --target and --set to a compile profile."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuron_whisper.profile import CompileProfile

DEFAULT_PROFILE = "cpu"  # profile.DEFAULT_PROFILE, which is not imported for the help
# for help; cpu is the default
PROFILE_CHOICES = "cpu, cpu-exact (float32), cpu-fast (approximate), a neuron-* name or a TOML file"
# dtypes for targets that have no profile of their own name
DEFAULT_DTYPES = {"neuron": "bfloat16", "reference": "float32", "cpu": "bfloat16"}
# as the packaged neuron profiles have them, so that both give the same artifact
NEURON_DEFAULT_TABLES = """[shapes]
align = true
[compiler]
args = ["--model-type=transformer", "--auto-cast=none"]
"""


def resolve_profile(
    profile: str | None = None, target: str | None = None, overrides: Mapping[str, object] | None = None
) -> CompileProfile:
    """The profile that the flags select, checked; `overrides` are {"target.tp": 2}.

    Without profile and target, more than one rank or an instance selects the Neuron target, the only one that has
    them. There --dtype applies to the weights too, unless --weights-dtype is given. Raises ProfileError.
    """
    from neuron_whisper.errors import ProfileError
    from neuron_whisper.profile import list_profiles, load_profile, parse_profile

    overrides = dict(overrides or {})
    tp = overrides.get("target.tp", 1)
    if profile is None:
        needs_neuron = (isinstance(tp, int) and tp > 1) or bool(overrides.get("target.instance"))
        target = target or ("neuron" if needs_neuron else DEFAULT_PROFILE)
        if target == "neuron" and "target.dtype" in overrides:
            overrides.setdefault("weights.dtype", overrides["target.dtype"])
        if target in list_profiles() or target not in DEFAULT_DTYPES:
            selected = load_profile(target, overrides)
        else:
            selected = parse_profile(
                _format_default_profile(target), f"the default profile of target {target}", overrides
            )
    else:
        selected = load_profile(profile, overrides | ({"target.name": target} if target else {}))
    if selected.target.name == "cpu" and selected.target.tp != 1:
        reason = f"target.tp is {selected.target.tp}; the cpu target takes 1, the targets neuron and reference more"
        raise ProfileError(profile or "cpu", reason)
    if selected.target.name != "neuron" and selected.target.instance:
        reason = f"target.instance is {selected.target.instance!r}; only a neuron artifact is for one"
        raise ProfileError(profile or selected.target.name, reason)
    if selected.target.name != "neuron" and selected.compiler.priority_graph:
        reason = f"compiler.priority_graph is {selected.compiler.priority_graph!r}; only the neuron target has one"
        raise ProfileError(profile or selected.target.name, reason)
    return selected


def distinct_profiles(names: Iterable[str]) -> tuple[str, ...]:
    """Each profile once, by today's name: ("cpu", "cpu-int8", "mine.toml") -> ("cpu", "mine.toml")."""
    from neuron_whisper.profile import follow_renaming

    return tuple(dict.fromkeys(map(follow_renaming, names)))


def _format_default_profile(target: str) -> str:
    dtype = DEFAULT_DTYPES[target]
    text = f'format = 1\n[target]\nname = "{target}"\ndtype = "{dtype}"\n[weights]\ndtype = "{dtype}"\n'
    return text + NEURON_DEFAULT_TABLES if target == "neuron" else text


def parse_overrides(assignments: Iterable[str]) -> dict[str, object]:
    """["shapes.slots=4", "target.instance=inf2.xlarge"] -> {"shapes.slots": 4, "target.instance": "inf2.xlarge"}

    Values are TOML; anything else is taken as text. Raises InvalidOption.
    """
    from neuron_whisper.errors import InvalidOption

    overrides: dict[str, object] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise InvalidOption("--set", assignment, "table.key=value")
        try:
            # one value: a line break could bring further keys
            value: object = tomllib.loads(f"value = {' '.join(text.splitlines())}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        overrides[key.strip()] = value
    return overrides
