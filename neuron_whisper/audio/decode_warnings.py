"""What went missing while a file was decoded, and the sentences that tell it."""

from __future__ import annotations

from dataclasses import dataclass, field

MIN_GAP_S = 0.1  # between timestamps; below it they are rounding, or a recorder's clock
MIN_REPORTED_LOSS_S = 0.5


@dataclass(slots=True)
class DecodeDiagnostics:
    """Filled by one decoding, packet by packet and frame by frame.

    `expected_s` is the length that the headers promise, 0 when they promise none; `tolerance_s` how far the
    decoded length may fall short of it. `has_reliable_timestamps` says whether they jump when data is missing.
    """

    expected_s: float = 0.0
    tolerance_s: float = 0.0
    has_reliable_timestamps: bool = False
    notes: list[str] = field(default_factory=list)
    last_error: str = ""
    _decoded_s: float = 0.0
    _bad_packets: int = 0
    _trailing_bad_packets: int = 0
    _n_gaps: int = 0
    _gap_s: float = 0.0
    _expected_next_s: float | None = None

    def record_bad_packet(self, error: Exception) -> None:
        self._bad_packets += 1
        self._trailing_bad_packets += 1
        self.last_error = getattr(error, "strerror", None) or str(error)

    def record_frame(self, timestamp_s: float | None, duration_s: float) -> None:
        """A frame of `duration_s` seconds; `timestamp_s` is its timestamp, where it has one."""
        self._trailing_bad_packets = 0
        self._decoded_s += duration_s
        if not self.has_reliable_timestamps:
            return
        start = self._expected_next_s if timestamp_s is None else timestamp_s
        if start is None:
            return
        if self._expected_next_s is not None and start - self._expected_next_s > MIN_GAP_S:
            self._n_gaps += 1
            self._gap_s += start - self._expected_next_s
        self._expected_next_s = start + duration_s

    def messages(self) -> tuple[str, ...]:
        """One for each kind of damage; empty for a sound file."""
        found = list(self.notes)
        in_the_middle = self._bad_packets - self._trailing_bad_packets
        if in_the_middle:
            found.append(f"{_pluralize(in_the_middle, 'damaged packet')} in the middle could not be decoded")
        if self._n_gaps:
            found.append(f"{self._gap_s:.2f} s are missing in the middle, in {_pluralize(self._n_gaps, 'gap')}")
        if self._trailing_bad_packets:
            found.append(f"the end is damaged: {_pluralize(self._trailing_bad_packets, 'packet')} could not be decoded")
        # packets that are already told of need no second sentence, unless far more is missing
        tolerance_s = max(self.tolerance_s, MIN_REPORTED_LOSS_S) if self._bad_packets else self.tolerance_s
        if self.expected_s - self._decoded_s - self._gap_s > tolerance_s:
            found.append(
                f"the file promises {self.expected_s:.2f} s but {self._decoded_s:.2f} s could be decoded; "
                "it is truncated or damaged"
            )
        return tuple(found)


def _pluralize(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
