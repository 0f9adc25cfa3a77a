"""Messages between a pool and its workers arrive as they were sent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe

import numpy as np
import pytest

from neuron_whisper.decode.window import WindowRequest
from neuron_whisper.engine.messages import Channel, DecodeWindow, SerializedError
from neuron_whisper.errors import (
    AudioTooLong,
    DeviceError,
    InvalidOption,
    NeuronWhisperError,
    QueueFull,
    TargetUnavailable,
)
from tests.support.replicas import (
    window_request,
)


@pytest.mark.parametrize(
    "error",
    [
        InvalidOption("prompt", 400, "at most 256 tokens"),
        TargetUnavailable("cpu", "no openvino", "pip install it"),
        AudioTooLong("a.wav", 3.5),
        DeviceError("gone"),
        QueueFull(3),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_arrive_with_their_fields(error: NeuronWhisperError) -> None:
    pool_end, worker_end = (Channel(end) for end in Pipe())
    pool_end.send(SerializedError.from_error(error))  # type: ignore[arg-type]  # a part of messages
    received = worker_end.receive().to_error()
    assert type(received) is type(error)
    assert (str(received), vars(received)) == (str(error), vars(error))
    pool_end.close()
    with pytest.raises(EOFError):
        worker_end.receive()
    worker_end.close()


def test_a_window_arrives_as_it_was() -> None:
    pool_end, worker_end = (Channel(end) for end in Pipe())
    mel = np.random.default_rng(0).standard_normal((128, 3000)).astype(np.float32)
    for sent in (mel, np.asfortranarray(mel), mel[:, ::2]):
        window = WindowRequest(mel=sent, options=window_request(0).options)
        with ThreadPoolExecutor(1) as sender:
            sender.submit(pool_end.send, DecodeWindow(id=7, window=window))
            received = worker_end.receive()
        np.testing.assert_array_equal(received.window.mel, sent)
        assert (received.id, received.window.options) == (7, window.options)
    pool_end.close()
    worker_end.close()
