"""Pickles of torch.save: what is read, and what no pickle can make the reader do."""

from __future__ import annotations

import contextlib
import pickle
import struct
import time
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.model.torch_pickle import PickleRefused, read_pickle

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize("protocol", [2, 4])
def test_plain_values_are_read_as_pickle_reads_them(protocol: int) -> None:
    @given(VALUES)
    @settings(max_examples=60, deadline=None)
    def law(value: Any) -> None:
        assert read_pickle(pickle.dumps(value, protocol)) == value

    law()


def test_an_ordered_dict_is_read_as_a_dict() -> None:
    assert read_pickle(pickle.dumps(OrderedDict(a=1, b="c"), 2)) == {"a": 1, "b": "c"}


def nested_tuples(depth: int) -> bytes:
    """A tuple of the same tuple twice, and so on: of a few bytes, 2 ** depth leaves."""
    return b")q\0" + b"h\0\x86q\0" * depth


@pytest.mark.parametrize(
    "payload",
    [
        b"r\xff\xff\xff\x7f.",  # nothing to remember, at memo 2 ** 31
        b"N" + b"j\xff\xff\xff\x7f.",  # memo 2 ** 31, which nobody wrote
        b"}" + nested_tuples(60) + b"Ns.",  # as a key: its hash would take 2 ** 60 steps
        b"\x8d" + struct.pack("<Q", 1 << 60) + b".",  # a text of 2 ** 60 bytes
        b"\x96" + struct.pack("<Q", 1 << 40) + b".",  # a bytearray
        b"\x95" + struct.pack("<Q", 1 << 60),  # a frame, and the end
        b"cbuiltins\nlist\n" + b"N\x85R.",
        b"ctorch._utils\n_rebuild_tensor_v2\n)R.",  # too few arguments
        b"ctorch\nFloatStorage\n)R.",  # no function
        b"ccollections\nOrderedDict\n(]tR.",
        b"}N}b.",  # state for no dict
        b"(.",
        b"0.",
        b"s.",
        b"u.",
        b"a.",
        b"\x93.",
        b"\x88\x89\x93.",
        b"\x80\xff.",
        b"\xff.",
        b"N",
        b"I" + b"9" * 5000 + b"\n.",
    ],
)
def test_a_hostile_pickle_is_refused_at_once(payload: bytes) -> None:
    begun = time.monotonic()
    with pytest.raises(PickleRefused) as refused:
        read_pickle(payload)
    assert time.monotonic() - begun < 1
    assert len(str(refused.value)) < 300


def test_a_high_memo_index_takes_no_memory() -> None:
    assert read_pickle(b"Nr\xff\xff\xff\x7f0j\xff\xff\xff\x7f.") is None


def test_nesting_of_any_depth_is_no_recursion() -> None:
    found = read_pickle(b")" + b"\x85" * 100_000 + b".")
    for _ in range(100_000):
        (found,) = found
    assert found == ()


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=60)
    | st.lists(
        st.sampled_from(
            [
                b"(",
                b")",
                b"}",
                b"]",
                b"N",
                b"2",
                b"\x86",
                b"u",
                b"s",
                b"R",
                b"b",
                b"Q",
                b"X\1\0\0\0a",
                b"ccollections\nOrderedDict\n",
                b"ctorch._utils\n_rebuild_tensor_v2\n",
                b"ctorch\nSize\n",
                b"ctorch\nHalfStorage\n",
                b"K\1",
            ]
        )
    ).map(b"".join)
)
def test_any_bytes_are_a_value_or_refused(payload: bytes) -> None:
    with contextlib.suppress(PickleRefused):
        read_pickle(payload + b".")
