"""DecodeDiagnostics: what was missing or damaged in a decoded file, as warnings."""

from __future__ import annotations

from dataclasses import dataclass, field

MIN_GAP_S = 0.1  # between timestamps; a smaller one is rounding, or the drift of a recorder's clock
MIN_REPORTED_LOSS_S = 0.5  # beyond the damaged packets, which have a warning of their own


@dataclass(slots=True)
class DecodeDiagnostics:
    """Records the packets and frames of one decoder run.

    `expected_s` is the duration that the headers state, 0 when they state none; the decoded duration may fall short
    of it by `tolerance_s`. `has_reliable_timestamps`: they jump when data is missing. `notes` are warnings that are
    known before the first packet.
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
        """Record a decoded frame of `duration_s` seconds; `timestamp_s` is None where it has none."""
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
        """One sentence for each kind of damage; empty for an undamaged file."""
        warnings = list(self.notes)
        in_the_middle = self._bad_packets - self._trailing_bad_packets
        if in_the_middle:
            warnings.append(f"{_pluralize(in_the_middle, 'damaged packet')} in the middle could not be decoded")
        if self._n_gaps:
            warnings.append(f"{self._gap_s:.2f} s are missing in the middle, in {_pluralize(self._n_gaps, 'gap')}")
        if self._trailing_bad_packets:
            warnings.append(
                f"the end is damaged: {_pluralize(self._trailing_bad_packets, 'packet')} could not be decoded"
            )
        # the warning about damaged packets covers the missing time, unless far more is missing
        tolerance_s = max(self.tolerance_s, MIN_REPORTED_LOSS_S) if self._bad_packets else self.tolerance_s
        if self.expected_s - self._decoded_s - self._gap_s > tolerance_s:
            warnings.append(
                f"the file promises {self.expected_s:.2f} s but {self._decoded_s:.2f} s could be decoded; "
                "it is truncated or damaged"
            )
        return tuple(warnings)


def _pluralize(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
