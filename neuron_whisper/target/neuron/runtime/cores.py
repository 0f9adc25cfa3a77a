"""Divides the NeuronCores that the environment allows among processes. Imports no Neuron package."""

from __future__ import annotations

from collections.abc import Mapping

from neuron_whisper.errors import InvalidOption

VISIBLE_CORES, NUM_CORES = "NEURON_RT_VISIBLE_CORES", "NEURON_RT_NUM_CORES"


def partition_cores(environment: Mapping[str, str], tp: int, groups: int) -> list[tuple[int, ...]]:
    """`groups` times `tp` cores, in order, of those that the environment allows; any, where it sets neither variable.

    ({"NEURON_RT_VISIBLE_CORES": "2-5"}, 2, 2) -> [(2, 3), (4, 5)]. Raises InvalidOption when they are too few.
    """
    needed = tp * groups
    variable, allowed = read_allowed_cores(environment, needed=needed) or ("", list(range(needed)))
    if len(allowed) < needed:
        allowed_values = (
            f"{needed} or more NeuronCores for {groups} replicas of {tp}, such as {needed} or 0-{needed - 1}"
        )
        raise InvalidOption(variable, environment[variable], allowed_values)
    return [tuple(allowed[i * tp : (i + 1) * tp]) for i in range(groups)]


def environment_for_cores(environment: Mapping[str, str], cores: tuple[int, ...]) -> dict[str, str]:
    """The environment of a process that takes these cores and no others."""
    own = {name: value for name, value in environment.items() if name != NUM_CORES}
    return own | {VISIBLE_CORES: ",".join(map(str, cores))}


def read_allowed_cores(environment: Mapping[str, str], *, needed: int) -> tuple[str, list[int]] | None:
    """The variable of the runtime that chooses cores, and those cores; None where none is set.

    NEURON_RT_NUM_CORES=0 means all: here the `needed` first ones. An invalid value allows no core.
    """
    if visible := environment.get(VISIBLE_CORES):
        return VISIBLE_CORES, _parse_visible_cores(visible)
    if count := environment.get(NUM_CORES):
        cores = int(count) if count.isdecimal() else 0
        return NUM_CORES, list(range(needed if count == "0" else cores))
    return None


def _parse_visible_cores(visible: str) -> list[int]:
    """ "0-3,6" -> [0, 1, 2, 3, 6]; an invalid list allows no core."""
    cores: dict[int, None] = {}
    try:
        for part in visible.split(","):
            first, _, last = part.partition("-")
            cores |= dict.fromkeys(range(int(first), int(last or first) + 1))
    except ValueError:
        return []
    return list(cores)
