"""Timeline: where decoded frames lie in time by the container's timestamps, and the silence that goes between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from neuron_whisper.audio.decode_warnings import DecodeDiagnostics

T = TypeVar("T")

MIN_GAP_S = 0.1  # a smaller one is rounding, jitter, or an encoder's delay
MAX_GAP_S = 3600.0  # a larger one is a wrong timestamp rather than a pause
MAX_DRIFT = 0.01  # of the time that passed: what clocks of recorders drift, and far below a loss


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedFrame(Generic[T]):
    """A decoded frame. `start_s`: its timestamp, if it has one. `lost_s`: of packets before it that gave no samples."""

    content: T
    duration_s: float
    start_s: float | None = None
    lost_s: float = 0.0


@dataclass(slots=True)
class Timeline:
    """Places the frames of one track; what cannot be placed is recorded in `diagnostics`.

    `zero_s`: the timestamp at which the other tracks of the container begin, None when the track is alone; it then
    begins at 0 whatever its timestamps are. `wrap_s`: the timestamp that is 0 again, of formats with few bits.
    `has_timestamps` False: behind the first they are counted, not stored, and show nothing that is missing.
    """

    diagnostics: DecodeDiagnostics
    zero_s: float | None = None
    wrap_s: float | None = None
    has_timestamps: bool = True
    _position_s: float = 0.0  # of the next sample, silence included
    _in_step_s: float = 0.0  # the position at which timestamps and samples last agreed
    _origin_s: float | None = None  # the timestamp of position 0
    _former_origins_s: list[float] = field(default_factory=list)
    _next_start_s: float | None = None  # the timestamp at which the last frame ends

    def place(self, frames: Iterable[TimedFrame[T]]) -> Iterator[tuple[float, T]]:
        """Yields (seconds of silence before it, content) for every frame, in the order given.

        A frame that is late waits for the next one: when that is early again, the timestamp was wrong.
        """
        pending: TimedFrame[T] | None = None
        for frame in frames:
            if pending is not None:
                yield self._place_frame(pending, is_trusted=self._follows(pending, frame))
            pending = None
            if self._is_late(frame):
                pending = frame
            else:
                yield self._place_frame(frame, is_trusted=True)
        if pending is not None:
            yield self._place_frame(pending, is_trusted=True)

    def _place_frame(self, frame: TimedFrame[T], *, is_trusted: bool) -> tuple[float, T]:
        silence_s = self._measure_silence(frame) if is_trusted else 0.0
        self._position_s += silence_s + frame.duration_s
        if is_trusted:
            start_s = self._next_start_s if frame.start_s is None else frame.start_s
            self._next_start_s = None if start_s is None else start_s + frame.duration_s
        return silence_s, frame.content

    def _measure_silence(self, frame: TimedFrame[T]) -> float:
        start_s = frame.start_s
        if self._origin_s is None and start_s is not None:
            return self._begin(start_s)
        if not self.has_timestamps:
            if frame.lost_s:
                self.diagnostics.record_gap(self._position_s, frame.lost_s, is_loss=frame.lost_s > MIN_GAP_S)
            return frame.lost_s
        if start_s is None or self._origin_s is None:  # a later timestamp shows what is missing
            return 0.0
        offset_s = self._measure_offset(start_s, self._origin_s)
        if abs(offset_s) <= MIN_GAP_S:
            if abs(offset_s) <= MIN_GAP_S / 2:
                self._in_step_s = self._position_s
            return 0.0
        for former_s in self._former_origins_s:
            if abs(self._measure_offset(start_s, former_s)) <= MIN_GAP_S:
                self._move_origin(start_s, 0.0)
                return 0.0
        return self._fill(start_s, offset_s) if offset_s > 0 else self._go_back(start_s, offset_s)

    def _begin(self, start_s: float) -> float:
        """The silence before the first frame."""
        offset_s = 0.0 if self.zero_s is None else self._wrap(start_s - self.zero_s)
        if offset_s > MAX_GAP_S:
            self.diagnostics.record_unfilled(0.0, offset_s)
        if not MIN_GAP_S < offset_s <= MAX_GAP_S:
            offset_s = 0.0
        self._origin_s = start_s - offset_s
        self.diagnostics.record_start(offset_s)
        return offset_s

    def _fill(self, start_s: float, gap_s: float) -> float:
        if gap_s > MAX_GAP_S:
            self.diagnostics.record_unfilled(self._position_s, gap_s)
            self._move_origin(start_s, 0.0)
            return 0.0
        self.diagnostics.record_gap(self._position_s, gap_s, is_loss=self._is_jump(start_s, gap_s))
        self._in_step_s = self._position_s + gap_s
        return gap_s

    def _go_back(self, start_s: float, offset_s: float) -> float:
        if self._is_jump(start_s, offset_s):
            self.diagnostics.record_jump_back(self._position_s, -offset_s)
        self._move_origin(start_s, 0.0)
        return 0.0

    def _is_jump(self, start_s: float, offset_s: float) -> bool:
        """Whether the timestamps jumped, or left the samples faster than a clock drifts."""
        step_s = 0.0 if self._next_start_s is None else self._wrap(start_s - self._next_start_s)
        grown_s = abs(offset_s) - MIN_GAP_S / 2
        return abs(step_s) > MIN_GAP_S or grown_s > MAX_DRIFT * (self._position_s - self._in_step_s)

    def _move_origin(self, start_s: float, silence_s: float) -> None:
        if self._origin_s is not None:
            self._former_origins_s = [self._origin_s, *self._former_origins_s][:2]
        self._origin_s = start_s - self._position_s - silence_s
        self._in_step_s = self._position_s

    def _is_late(self, frame: TimedFrame[T]) -> bool:
        if not self.has_timestamps or frame.start_s is None or self._origin_s is None:
            return False
        return self._measure_offset(frame.start_s, self._origin_s) > MIN_GAP_S

    def _follows(self, late: TimedFrame[T], frame: TimedFrame[T]) -> bool:
        """Whether `frame` goes on behind the late one."""
        if frame.start_s is None or late.start_s is None:
            return True
        return self._wrap(frame.start_s - late.start_s) >= late.duration_s - MIN_GAP_S

    def _measure_offset(self, start_s: float, origin_s: float) -> float:
        """How much later than its samples the timestamp is."""
        return self._wrap(start_s - origin_s - self._position_s)

    def _wrap(self, difference_s: float) -> float:
        if self.wrap_s is None:
            return difference_s
        return (difference_s + self.wrap_s / 2) % self.wrap_s - self.wrap_s / 2
