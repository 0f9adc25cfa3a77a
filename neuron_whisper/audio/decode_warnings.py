"""DecodeDiagnostics: what was missing or damaged in a decoded file, as warnings."""

from __future__ import annotations

from dataclasses import dataclass, field

MIN_REPORTED_LOSS_S = 0.5  # beyond the damaged packets, which have a warning of their own


@dataclass(slots=True)
class DecodeDiagnostics:
    """Records the packets and frames of one decoder run.

    `expected_s` is the duration that the headers state, 0 when they state none; what was decoded may fall short of it
    by `tolerance_s`. `notes` are warnings that are known before the first packet.
    """

    expected_s: float = 0.0
    tolerance_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    last_error: str = ""
    _decoded_s: float = 0.0
    _start_s: float = 0.0
    _bad_packets: int = 0
    _trailing_bad_packets: int = 0
    _n_gaps: int = 0
    _gap_s: float = 0.0  # those of _n_gaps
    _drift_s: float = 0.0
    _unfilled_s: list[float] = field(default_factory=list)
    _jumps_back_s: list[float] = field(default_factory=list)

    def record_bad_packet(self, error: Exception) -> None:
        self._bad_packets += 1
        self._trailing_bad_packets += 1
        self.last_error = getattr(error, "strerror", None) or str(error)

    def give_up(self, reason: str) -> None:
        """Record that decoding ended before the file did."""
        self.notes.append(f"the rest was not decoded: {reason}")
        self.last_error = reason

    def record_frame(self, duration_s: float) -> None:
        """Record a decoded frame."""
        self._trailing_bad_packets = 0
        self._decoded_s += duration_s

    def record_start(self, offset_s: float) -> None:
        """Record the silence before the first frame."""
        self._start_s = offset_s

    def record_gap(self, gap_s: float, *, is_loss: bool = True) -> None:
        """Record silence between frames; no loss: the clock of the recorder and that of its samples differ."""
        if is_loss:
            self._n_gaps += 1
            self._gap_s += gap_s
        else:
            self._drift_s += gap_s

    def record_unfilled(self, gap_s: float) -> None:
        """Record a gap that is too long to be one."""
        self._unfilled_s.append(gap_s)

    def record_jump_back(self, seconds: float) -> None:
        """Record timestamps that go back."""
        self._jumps_back_s.append(seconds)

    def messages(self) -> tuple[str, ...]:
        """One sentence for each kind of damage; empty for an undamaged file."""
        warnings = list(self.notes)
        in_the_middle = self._bad_packets - self._trailing_bad_packets
        if in_the_middle:
            warnings.append(f"{_pluralize(in_the_middle, 'damaged packet')} in the middle could not be decoded")
        if self._n_gaps:
            warnings.append(f"{self._gap_s:.2f} s are missing in the middle, in {_pluralize(self._n_gaps, 'gap')}")
        if self._unfilled_s:
            warnings.append(
                f"the timestamps jump ahead by {max(self._unfilled_s):,.0f} s, which is too long for a pause; later "
                "times are counted from the samples"
            )
        if self._jumps_back_s:
            warnings.append(
                f"the timestamps jump back {_pluralize(len(self._jumps_back_s), 'time')}, by up to "
                f"{max(self._jumps_back_s):,.2f} s; later times are counted from the samples"
            )
        if self._trailing_bad_packets:
            warnings.append(
                f"the end is damaged: {_pluralize(self._trailing_bad_packets, 'packet')} could not be decoded"
            )
        # the warning about damaged packets covers the missing time, unless far more is missing
        tolerance_s = max(self.tolerance_s, MIN_REPORTED_LOSS_S) if self._bad_packets else self.tolerance_s
        placed_s = self._start_s + self._decoded_s + self._gap_s + self._drift_s + sum(self._unfilled_s)
        if self.expected_s - placed_s > tolerance_s:
            warnings.append(
                f"the file promises {self.expected_s:.2f} s but {self._decoded_s:.2f} s could be decoded; "
                "it is truncated or damaged"
            )
        return tuple(warnings)


def _pluralize(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
