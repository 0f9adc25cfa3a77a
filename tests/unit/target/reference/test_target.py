"""ReferenceTarget: weights are sharded to disk and run from there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neuron_whisper.profile import parse_profile
from neuron_whisper.target.reference.target import TARGET
from tests.support.session_steps import encode_and_prefill
from tests.support.sessions import checkpoint, compile_request
from tests.support.tiny_program import spec


def test_two_shards_return_what_the_checkpoint_returns(tmp_path: Path) -> None:
    profile = parse_profile('format = 1\n[target]\nname = "reference"\ntp = 2')
    TARGET.compile(compile_request(spec(), profile, checkpoint(spec()), tmp_path))
    assert sorted(path.name for path in (tmp_path / "weights").iterdir()) == ["tp0.safetensors", "tp1.safetensors"]
    outputs = []
    for session in (TARGET.open(tmp_path, spec(), profile), TARGET.open_streamed(spec(), checkpoint(spec()))):
        outputs.append(encode_and_prefill(session, 0).top_tokens)
        session.close()
    assert outputs[0].tokens.tolist() == outputs[1].tokens.tolist()
    np.testing.assert_allclose(outputs[0].logprobs, outputs[1].logprobs, atol=1e-3)


def test_a_session_holds_the_past_of_every_beam() -> None:
    assert (TARGET.decoder_copies(spec(beams=2)), TARGET.self_kv_rows(spec(beams=2))) == (1, 2)
