"""Downmixer: the mean of several channels, or the louder one where they cancel each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK_S = 0.1  # in which channels are compared
BLOCKS_AT_ONCE = 16  # a call for each costs more than its arithmetic
RAMP_S = 0.01  # over which another mixture is faded in
# The power of the mean, relative to the mean of as many channels that have nothing in common: 0 of opposite phases,
# 1 where one channel is silent or each has a sound of its own, n of equal channels.
CANCELLED, RECOVERED = 0.1, 0.5
MIN_POWER = 1e-9  # -90 dB: below is the noise of conversion, whose phase means nothing
LOUD = 0.01  # of the loudest power so far: a pause does not end a mixture
LOUDER = 4.0  # in power, 6 dB: another channel must be so much louder than the one that is taken
QUIET = 0.03  # of the loudest channel's power: quieter ones are not compared, and not missed
MAX_COMPARED = 8  # channels that are compared pair by pair


class Downmixer:
    """Mixes the channels of one signal; `push` its pieces in order, then `finish`. For one thread.

    Where the mean of the channels cancels, it is replaced by the louder one of those of opposite phase, faded in and
    with the sign of what was before; all else is the plain mean, whatever the pieces. Pauses change nothing.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self.rate, self.channels = rate, channels
        self._block, self._ramp = max(1, round(rate * BLOCK_S)), max(1, round(rate * RAMP_S))
        self._mean = np.full(channels, 1 / channels, np.float32)
        self._weights = self._mean
        self._is_mean, self._is_first = True, True
        self._pending: list[NDArray[np.float32]] = []
        self._n_pending = 0
        self._loudest_power = 0.0
        self.cancelled_s = 0.0  # in which the mean would have cancelled

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mixture (m,) of what is complete now, often none; samples (channels, n)."""
        if self.channels == 1:
            mono: NDArray[np.float32] = samples[0]
            return mono
        self._pending.append(samples)
        self._n_pending += samples.shape[1]
        if self._n_pending < BLOCKS_AT_ONCE * self._block:
            return np.empty(0, np.float32)
        whole = self._n_pending // self._block * self._block
        joined = np.concatenate(self._pending, axis=1)
        self._pending, self._n_pending = [joined[:, whole:].copy()], joined.shape[1] - whole
        return self._mix(joined[:, :whole], self._block)

    def finish(self) -> NDArray[np.float32]:
        """The rest; nothing may be pushed after it."""
        if not self._n_pending:
            return np.empty(0, np.float32)
        rest = np.concatenate(self._pending, axis=1)
        self._pending, self._n_pending = [], 0
        whole = rest.shape[1] // self._block * self._block
        ends = [self._mix(rest[:, :whole], self._block)] if whole else []
        if whole < rest.shape[1]:
            ends.append(self._mix(rest[:, whole:], rest.shape[1] - whole))
        return np.concatenate(ends)

    def _mix(self, samples: NDArray[np.float32], block: int) -> NDArray[np.float32]:
        mean: NDArray[np.float32] = samples.mean(axis=0)
        blocks = samples.reshape(self.channels, -1, block)
        powers = np.einsum("cnb,cnb->nc", blocks, blocks) / block  # (blocks, channels)
        mean_blocks = mean.reshape(-1, block)
        mean_powers = np.einsum("nb,nb->n", mean_blocks, mean_blocks) / block
        may_cancel = mean_powers * self.channels**2 < RECOVERED * powers.sum(axis=1)
        if self.channels > 2 and self.channels <= MAX_COMPARED:
            may_cancel[:] = True  # two of them may, and the others not
        for i in range(len(mean_blocks)):
            if may_cancel[i] or self._weights is not self._mean:
                self._mix_block(blocks[:, i], powers[i], float(mean_powers[i]), mean_blocks[i])
            else:
                self._is_first = False
            self._loudest_power = max(self._loudest_power, float(powers[i].max()))
        return mean

    def _mix_block(
        self,
        samples: NDArray[np.float32],
        powers: NDArray[np.float32],
        mean_power: float,
        mixed: NDArray[np.float32],
    ) -> None:
        """Write the mixture of one block over its mean, `mixed`, unless that is right."""
        before, target = self._weights, self._weights
        chosen = self._find_louder(samples, powers, mean_power)
        if chosen is not None:
            self.cancelled_s += samples.shape[1] / self.rate
            target = self._weights if self._keeps(samples, powers, chosen) else self._join_sign(samples, chosen)
            self._is_mean = False
        elif (
            not self._is_mean
            and powers.max() > LOUD * self._loudest_power
            and mean_power * self.channels**2 > RECOVERED * powers.sum()
        ):
            target, self._is_mean = self._join_sign(samples, self._mean), True
        self._weights = target
        if self._is_first:
            before, self._is_first = target, False
        if target is before and target is self._mean:
            return
        mixed[:] = target @ samples
        if before is not target:
            ramp = min(self._ramp, len(mixed))
            share = np.arange(1, ramp + 1, dtype=np.float32) / np.float32(ramp + 1)
            mixed[:ramp] = share * mixed[:ramp] + (1 - share) * (before @ samples[:, :ramp])

    def _find_louder(
        self, samples: NDArray[np.float32], powers: NDArray[np.float32], mean_power: float
    ) -> NDArray[np.float32] | None:
        """The weights of the channels to take instead of the mean; None where it does not cancel."""
        loudest = float(powers.max())
        if loudest < MIN_POWER:
            return None
        kept, has_dropped = list(range(self.channels)), False
        if 2 < self.channels <= MAX_COMPARED:
            kept, has_dropped = _drop_opposite_channels(samples, powers)
            mean_power = float(np.square(samples[kept].sum(axis=0)).mean()) / self.channels**2
        if mean_power * self.channels**2 < CANCELLED * float(powers[kept].sum()):
            kept, has_dropped = [int(powers.argmax())], True
        return self._weigh(kept) if has_dropped else None

    def _weigh(self, kept: list[int]) -> NDArray[np.float32]:
        weights = np.zeros(self.channels, np.float32)
        weights[kept] = 1 / len(kept)
        return weights

    def _keeps(self, samples: NDArray[np.float32], powers: NDArray[np.float32], chosen: NDArray[np.float32]) -> bool:
        """Whether the present mixture, which is not the mean, is about as loud as the one chosen for this block."""
        if self._is_mean:
            return False
        present, other = (float(np.square(weights @ samples).mean()) for weights in (self._weights, chosen))
        return present * LOUDER >= other

    def _join_sign(self, samples: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """The weights, or their opposite if that continues the present mixture."""
        if not self._is_first and float((self._weights @ samples) @ (weights @ samples)) < 0:
            return -weights
        return weights


def _drop_opposite_channels(samples: NDArray[np.float32], powers: NDArray[np.float32]) -> tuple[list[int], bool]:
    """The channels without the quieter of every two that cancel each other, and whether there were any."""
    products = samples @ samples.T / samples.shape[1]
    order = [int(c) for c in np.argsort(-powers, kind="stable") if powers[c] > QUIET * powers.max()]
    kept: list[int] = []
    for c in order:
        if all(powers[c] + powers[d] + 2 * products[c, d] >= CANCELLED * (powers[c] + powers[d]) for d in kept):
            kept.append(c)
    is_opposite = len(kept) < len(order)
    return (sorted(kept) if is_opposite else list(range(len(samples)))), is_opposite
