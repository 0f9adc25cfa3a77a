"""The result of a transcription crosses from its worker as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.bench.engines.results import GraphTotal, TranscriptionResult


def test_what_an_engine_does_not_return_is_null_and_not_empty() -> None:
    data = json.loads(json.dumps(asdict(TranscriptionResult(text="a b", words=[]))))
    assert data == {"text": "a b", "tokens": None, "segments": None, "words": []}
    assert TranscriptionResult(**data) == TranscriptionResult(text="a b", words=[])


totals = st.builds(
    GraphTotal,
    name=st.just("decode"),
    calls=st.integers(0, 1000),
    seconds=st.integers(0, 1000),
    to_host_bytes=st.integers(0, 10**9) | st.none(),
)


@given(totals, totals)
def test_a_total_since_an_earlier_one_is_what_was_added(earlier: GraphTotal, added: GraphTotal) -> None:
    now = earlier.plus(added)
    is_known = earlier.to_host_bytes is not None and added.to_host_bytes is not None
    difference = now.since(earlier)
    assert (difference.calls, difference.seconds) == (added.calls, added.seconds)
    assert difference.to_host_bytes == (added.to_host_bytes if is_known else None)


@given(totals)
def test_without_an_earlier_total_all_is_new(total: GraphTotal) -> None:
    assert total.since(None) == total.plus(None) == total
