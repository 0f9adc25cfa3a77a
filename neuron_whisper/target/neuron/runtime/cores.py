"""Which NeuronCores a process among several may take. Imports nothing of Neuron."""

from __future__ import annotations

from collections.abc import Mapping

from neuron_whisper.errors import InvalidOption

VISIBLE_CORES, NUM_CORES = "NEURON_RT_VISIBLE_CORES", "NEURON_RT_NUM_CORES"


def partition_cores(environment: Mapping[str, str], tp: int, groups: int) -> list[tuple[int, ...]]:
    """`groups` times `tp` cores, in order, of those that the environment allows; all, where it says nothing.

    ({"NEURON_RT_VISIBLE_CORES": "2-5"}, 2, 2) -> [(2, 3), (4, 5)]. Raises InvalidOption when they are too few.
    """
    wanted = tp * groups
    allowed, variable = list(range(wanted)), ""
    if visible := environment.get(VISIBLE_CORES):
        allowed, variable = _parse_visible_cores(visible), VISIBLE_CORES
    elif (count := environment.get(NUM_CORES)) and count != "0":  # 0: all
        allowed, variable = list(range(int(count) if count.isdecimal() else 0)), NUM_CORES
    if len(allowed) < wanted:
        need = f"{wanted} or more NeuronCores for {groups} replicas of {tp}, such as {wanted} or 0-{wanted - 1}"
        raise InvalidOption(variable, environment[variable], need)
    return [tuple(allowed[i * tp : (i + 1) * tp]) for i in range(groups)]


def environment_for_cores(environment: Mapping[str, str], cores: tuple[int, ...]) -> dict[str, str]:
    """The environment of a process that takes these cores and no other."""
    own = {name: value for name, value in environment.items() if name != NUM_CORES}
    return own | {VISIBLE_CORES: ",".join(map(str, cores))}


def _parse_visible_cores(visible: str) -> list[int]:
    """ "0-3,6" -> [0, 1, 2, 3, 6]; what cannot be read allows no core."""
    cores: dict[int, None] = {}
    try:
        for part in visible.split(","):
            first, _, last = part.partition("-")
            cores |= dict.fromkeys(range(int(first), int(last or first) + 1))
    except ValueError:
        return []
    return list(cores)
