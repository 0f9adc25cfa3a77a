"""DecodeDiagnostics: what was missing or damaged in a decoded file, as warnings."""

from __future__ import annotations

from dataclasses import dataclass, field

MIN_REPORTED_LOSS_S = 0.5  # beyond the damaged packets, which have a warning of their own
MAX_PLACES = 3  # named in a warning; the others are counted


@dataclass(slots=True)
class DecodeDiagnostics:
    """Records the packets and frames of one decoder run.

    `expected_s` is the duration that the headers state, 0 when they state none; what was decoded may fall short of it
    by `tolerance_s`. `notes` are warnings that are known before the first packet. `offset_s` is where the recording
    begins in the audio; all places are those of the audio, with the silence that was filled in.
    """

    expected_s: float = 0.0
    tolerance_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    last_error: str = ""
    offset_s: float = 0.0
    _decoded_s: float = 0.0
    _start_s: float = 0.0
    _bad_packets: int = 0
    _bad_at_s: list[float] = field(default_factory=list)
    _leading_bad_packets: int = 0
    _trailing_bad_packets: int = 0
    _gaps: list[tuple[float, float]] = field(default_factory=list)  # from, to
    _drift_s: float = 0.0
    _unfilled: list[tuple[float, float]] = field(default_factory=list)  # place, seconds
    _jumps_back: list[tuple[float, float]] = field(default_factory=list)

    def record_bad_packet(self, error: Exception) -> None:
        self._bad_packets += 1
        self._trailing_bad_packets += 1
        if not self._decoded_s and not self.offset_s:
            self._leading_bad_packets += 1
        self._bad_at_s.append(self.offset_s + self._placed_s)
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

    def record_gap(self, at_s: float, gap_s: float, *, is_loss: bool = True) -> None:
        """Record silence between frames; no loss: the clock of the recorder and that of its samples differ."""
        if is_loss:
            self._gaps.append((self.offset_s + at_s, self.offset_s + at_s + gap_s))
        else:
            self._drift_s += gap_s

    def record_unfilled(self, at_s: float, gap_s: float) -> None:
        """Record a gap that is too long to be one."""
        self._unfilled.append((self.offset_s + at_s, gap_s))

    def record_jump_back(self, at_s: float, seconds: float) -> None:
        """Record timestamps that go back."""
        self._jumps_back.append((self.offset_s + at_s, seconds))

    def messages(self) -> tuple[str, ...]:
        """One sentence for each kind of damage; empty for an undamaged file."""
        warnings = list(self.notes)
        before_the_end = self._bad_packets - self._trailing_bad_packets
        at_the_start = min(self._leading_bad_packets, before_the_end)
        if at_the_start:
            warnings.append(f"the start is damaged: {pluralize(at_the_start, 'packet')} could not be decoded")
        in_the_middle = before_the_end - at_the_start
        if in_the_middle:
            places = _list_places([f"{at_s:.2f}" for at_s in self._bad_at_s[at_the_start:before_the_end]])
            warnings.append(
                f"{pluralize(in_the_middle, 'damaged packet')} in the middle could not be decoded, at {places}"
            )
        warnings += self._describe_timestamps()
        if self._trailing_bad_packets:
            warnings.append(
                f"the end is damaged: {pluralize(self._trailing_bad_packets, 'packet')} could not be decoded"
            )
        # the warning about damaged packets covers the missing time, unless far more is missing
        tolerance_s = max(self.tolerance_s, MIN_REPORTED_LOSS_S) if self._bad_packets else self.tolerance_s
        placed_s = self._placed_s + sum(seconds for _, seconds in self._unfilled)
        if self.expected_s - placed_s > tolerance_s:
            warnings.append(
                f"the file promises {self.expected_s:.2f} s but {self._decoded_s:.2f} s could be decoded; "
                "it is truncated or damaged"
            )
        return tuple(warnings)

    def _describe_timestamps(self) -> list[str]:
        warnings = []
        if self._gaps:
            missing_s = sum(end_s - start_s for start_s, end_s in self._gaps)
            places = _list_places([f"{start_s:.2f}-{end_s:.2f}" for start_s, end_s in self._gaps])
            warnings.append(
                f"{missing_s:.2f} s are missing in the middle, in {pluralize(len(self._gaps), 'gap')}: {places}; "
                "silence was filled in there"
            )
        if self._unfilled:
            warnings.append(
                f"the timestamps jump ahead by {max(seconds for _, seconds in self._unfilled):,.0f} s, which is too "
                f"long for a pause, at {_list_places([f'{at_s:.2f}' for at_s, _ in self._unfilled])}; no silence was "
                "filled in there, and later times are counted from the samples"
            )
        if self._jumps_back:
            warnings.append(
                f"the timestamps jump back {pluralize(len(self._jumps_back), 'time')}, by up to "
                f"{max(seconds for _, seconds in self._jumps_back):,.2f} s, at "
                f"{_list_places([f'{at_s:.2f}' for at_s, _ in self._jumps_back])}; no silence was filled in there, and "
                "later times are counted from the samples"
            )
        return warnings

    @property
    def _placed_s(self) -> float:
        """Of the samples so far and of the silence before and between them."""
        gaps_s = sum(end_s - start_s for start_s, end_s in self._gaps)
        return self._start_s + self._decoded_s + gaps_s + self._drift_s


def _list_places(places: list[str]) -> str:
    """ "1.00, 2.50-3.00 s and 2 more" """
    different = list(dict.fromkeys(places))
    more = len(different) - MAX_PLACES
    return f"{', '.join(different[:MAX_PLACES])} s" + (f" and {more:,} more" if more > 0 else "")


def pluralize(number: int, thing: str) -> str:
    """ "1 packet", "1,200 packets" """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
