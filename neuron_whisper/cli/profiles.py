"""From flags to a compile profile."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuron_whisper.profile import CompileProfile

DEFAULT_PROFILE = "cpu"
# For targets that have no profile of their name: the tables which every profile has, and a fitting width.
DEFAULT_DTYPES = {"neuron": "bfloat16", "reference": "float32", "cpu": "bfloat16"}


def asked_profile(
    profile: str | None = None, target: str | None = None, overrides: Mapping[str, object] | None = None
) -> CompileProfile:
    """The profile that the flags mean, checked; `overrides` are {"target.tp": 2}.

    Without profile and target, more than one rank means the Neuron target: it alone gains from them.
    Raises ProfileError.
    """
    from neuron_whisper.errors import ProfileError
    from neuron_whisper.profile import known_profiles, load_profile, parse_profile

    overrides = dict(overrides or {})
    tp = overrides.get("target.tp", 1)
    if profile is None:
        target = target or ("neuron" if isinstance(tp, int) and tp > 1 else DEFAULT_PROFILE)
        if target in known_profiles() or target not in DEFAULT_DTYPES:
            asked = load_profile(target, overrides)
        else:
            asked = parse_profile(_default_text(target), f"the default profile of target {target}", overrides)
    else:
        asked = load_profile(profile, overrides | ({"target.name": target} if target else {}))
    if asked.target.name == "cpu" and asked.target.tp != 1:
        reason = f"target.tp is {asked.target.tp}; the cpu target takes 1, the targets neuron and reference more"
        raise ProfileError(profile or "cpu", reason)
    return asked


def _default_text(target: str) -> str:
    dtype = DEFAULT_DTYPES[target]
    return f'format = 1\n[target]\nname = "{target}"\ndtype = "{dtype}"\n[weights]\ndtype = "{dtype}"\n'


def parse_overrides(assignments: Iterable[str]) -> dict[str, object]:
    """["shapes.slots=4", "target.instance=inf2.xlarge"] -> {"shapes.slots": 4, "target.instance": "inf2.xlarge"}

    Values are TOML; what is not is text. Raises InvalidOption.
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
