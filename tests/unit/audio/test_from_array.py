"""Arrays of samples: what is converted, and what is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neuron_whisper.audio.from_array import clip_from_array
from neuron_whisper.errors import InvalidOption


def test_float32_at_16_khz_is_taken_as_it_is() -> None:
    samples = np.array([0.0, 0.5, -1.0], np.float32)
    clip = clip_from_array(samples)
    assert clip.samples.tolist() == [0.0, 0.5, -1.0]
    samples[0] = 1
    assert clip.samples[0] == 0.0


def test_float64_and_int16_become_float32() -> None:
    assert clip_from_array(np.array([0.25], np.float64)).samples.dtype == np.float32
    assert clip_from_array(np.array([-32768, 16384], np.int16)).samples.tolist() == [-1.0, 0.5]


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_floats_of_integer_size_are_scaled_with_a_warning(bits: int, kind: type, rate: int) -> None:
    wave = 0.5 * np.sin(np.arange(rate) * 0.1)
    clip = clip_from_array((wave * 2 ** (bits - 1)).astype(kind), rate)
    expected = clip_from_array(wave, rate)
    np.testing.assert_allclose(clip.samples, expected.samples, atol=1e-5)
    assert expected.warnings == ()
    (warning,) = clip.warnings
    assert f"{bits}-bit" in warning


def test_the_callers_array_is_left_as_it_is() -> None:
    samples = np.full(100, 20_000.0, np.float32)
    clip_from_array(samples)
    assert samples.tolist() == [20_000.0] * 100


def test_an_object_with_an_array_in_it_is_one() -> None:
    class Tensor:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
            return np.zeros(3, np.float32)

    assert len(clip_from_array(Tensor()).samples) == 3


def test_another_rate_is_resampled_to_16_khz() -> None:
    assert len(clip_from_array(np.zeros(48_000, np.float32), 48_000).samples) == 16_000


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(4, np.complex64), "audio: 'complex64 array' is not allowed; real samples"),
        (np.zeros(4, np.int32), "audio: 'int32 array' is not allowed; samples of float32, float64 or int16"),
        (np.zeros(4, np.bool_), "audio: 'bool array'"),
        (np.array(["a"]), "audio: '<U1 array'"),
        (np.zeros((2, 4), np.float32), "audio: 'array of shape (2, 4)' is not allowed; mono"),
        (np.float32(1), "audio: 'array of shape ()' is not allowed; mono"),
        (np.zeros(0, np.float32), "audio: 'empty array'"),
        (np.array([0, np.nan], np.float32), "audio: 'array with NaN or infinity'"),
        (np.array([0, 1e300]), "audio: 'array with NaN or infinity'"),
    ],
)
def test_an_array_that_is_no_mono_audio_is_refused_by_name(array: Any, message: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        clip_from_array(array)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("rate", [0, -1, 3_999, 192_001, 16_000.5, "16000", True])
def test_a_rate_out_of_range_is_refused_by_name(rate: Any) -> None:
    with pytest.raises(InvalidOption) as refused:
        clip_from_array(np.zeros(4, np.float32), rate)
    assert refused.value.field == "sample_rate"
