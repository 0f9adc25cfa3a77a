"""Messages with descriptors over a socket pair, and errors in parts."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from neuron_whisper.audio.process.messages import MAX_MESSAGE_BYTES, MessageSocket, from_error_fields, to_error_fields
from neuron_whisper.errors import AudioForged, AudioTooLarge, AudioTooLong, InputError, InvalidOption

Ends = tuple[MessageSocket, MessageSocket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = (MessageSocket(it) for it in socket.socketpair())
    yield ours, theirs
    ours.close()
    theirs.close()


def test_messages_and_their_files_come_in_order(ends: Ends) -> None:
    ours, theirs = ends
    reading, writing = os.pipe()
    theirs.send({"n": 1})
    theirs.send({"n": 2, "name": "録音\n"}, writing)
    theirs.send({"n": 3})
    os.close(writing)
    messages = [ours.receive() for _ in range(3)]
    assert [it.fields["n"] for it in messages] == [1, 2, 3]
    assert messages[1].fields["name"] == "録音\n"
    assert [len(it.descriptors) for it in messages] == [0, 1, 0]
    os.write(messages[1].descriptors[0], b"through")
    messages[1].close()
    assert os.read(reading, 100) == b"through"
    os.close(reading)


def test_a_descriptor_that_came_is_not_inherited(ends: Ends) -> None:
    ours, theirs = ends
    theirs.send({}, 0)
    message = ours.receive()
    assert not os.get_inheritable(message.descriptors[0])
    message.close()


def test_what_has_arrived_is_taken_without_waiting(ends: Ends) -> None:
    ours, theirs = ends
    assert list(ours.receive_ready()) == []
    theirs.send({"n": 1})
    theirs.send({"n": 2})
    assert [it.fields["n"] for it in ours.receive_ready()] == [1, 2]


def test_a_message_sent_before_the_end_arrives_before_it(ends: Ends) -> None:
    ours, theirs = ends
    theirs.send({"n": 1})
    theirs.send({"n": 2})
    theirs.close()
    assert next(ours.receive_ready()).fields["n"] == 1
    assert next(ours.receive_ready()).fields["n"] == 2
    assert ours.is_closed()
    with pytest.raises(EOFError):
        ours.receive()


@pytest.mark.parametrize("data", [b"no json\n", b"[]\n", b'{"fields": {}, "descriptors": 3}\n', b"x" * 100])
def test_what_is_no_message_is_the_end(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        messages = MessageSocket(ours)
        with pytest.raises(EOFError):
            messages.receive()
        messages.close()


def test_a_message_without_end_is_the_end() -> None:
    ours, theirs = socket.socketpair()
    messages = MessageSocket(ours)

    def send_without_end() -> None:
        for _ in range(MAX_MESSAGE_BYTES // 10_000 + 2):
            theirs.sendall(b"x" * 10_000)
            list(messages.receive_ready())

    with theirs, pytest.raises(EOFError):
        send_without_end()
    messages.close()


@pytest.mark.parametrize(
    "error",
    [
        AudioForged("a.mp4", "its table stsz promises much"),
        AudioTooLong("a.mp3", 7200.0),
        AudioTooLarge("a.wav", "the file", 100),
        InvalidOption("channel", 3, "the audio has channels 0 to 1"),
    ],
)
def test_an_error_is_the_same_behind_the_socket(error: InputError) -> None:
    made = from_error_fields(to_error_fields(error))
    assert (type(made), str(made), vars(made)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("name", ["DeviceError", "Path", "annotations", "nothing"])
def test_what_is_no_input_error_is_not_made(name: str) -> None:
    with pytest.raises(ValueError):
        from_error_fields({"type": name, "message": "", "fields": {}})
