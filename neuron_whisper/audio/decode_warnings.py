"""What went missing while a file was decoded, and the sentences that tell it."""

from __future__ import annotations

from dataclasses import dataclass, field

GAP_S = 0.1  # between timestamps; below it they are rounding, or a recorder's clock
TOLD_S = 0.5


@dataclass(slots=True)
class DamageRecord:
    """Filled by one decoding, packet by packet and frame by frame.

    `stated_s` is the length that the headers promise, 0 when they promise none; `tolerance_s` how far the
    decoded length may fall short of it. `trusts_timestamps` says whether they jump when data is missing.
    """

    stated_s: float = 0.0
    tolerance_s: float = 0.0
    trusts_timestamps: bool = False
    facts: list[str] = field(default_factory=list)
    last_error: str = ""
    _decoded_s: float = 0.0
    _bad_packets: int = 0
    _bad_at_end: int = 0
    _gaps: int = 0
    _gap_s: float = 0.0
    _next_s: float | None = None

    def bad_packet(self, error: Exception) -> None:
        self._bad_packets += 1
        self._bad_at_end += 1
        self.last_error = getattr(error, "strerror", None) or str(error)

    def good_frame(self, at_s: float | None, length_s: float) -> None:
        """A frame of `length_s` seconds; `at_s` is its timestamp, where it has one."""
        self._bad_at_end = 0
        self._decoded_s += length_s
        if not self.trusts_timestamps:
            return
        start = self._next_s if at_s is None else at_s
        if start is None:
            return
        if self._next_s is not None and start - self._next_s > GAP_S:
            self._gaps += 1
            self._gap_s += start - self._next_s
        self._next_s = start + length_s

    def sentences(self) -> tuple[str, ...]:
        """One for each kind of damage; empty for a sound file."""
        found = list(self.facts)
        in_the_middle = self._bad_packets - self._bad_at_end
        if in_the_middle:
            found.append(f"{_count(in_the_middle, 'damaged packet')} in the middle could not be decoded")
        if self._gaps:
            found.append(f"{self._gap_s:.2f} s are missing in the middle, in {_count(self._gaps, 'gap')}")
        if self._bad_at_end:
            found.append(f"the end is damaged: {_count(self._bad_at_end, 'packet')} could not be decoded")
        # packets that are already told of need no second sentence, unless far more is missing
        tolerance_s = max(self.tolerance_s, TOLD_S) if self._bad_packets else self.tolerance_s
        if self.stated_s - self._decoded_s - self._gap_s > tolerance_s:
            found.append(
                f"the file promises {self.stated_s:.2f} s but {self._decoded_s:.2f} s could be decoded; "
                "it is truncated or damaged"
            )
        return tuple(found)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
