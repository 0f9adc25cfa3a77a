"""PagedCaches: a session over K/V in blocks returns what one over contiguous K/V does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuron_whisper.host.hardware import detect_instruction_sets
from neuron_whisper.target.cpu.runtime.contiguous_caches import ContiguousCaches
from neuron_whisper.target.cpu.runtime.kv_cache_backend import KVCacheBackend
from neuron_whisper.target.cpu.runtime.paged_attention_pass import BLOCK_SIZE
from neuron_whisper.target.cpu.runtime.paged_caches import PagedCaches
from neuron_whisper.target.cpu.runtime.session import CpuSession
from neuron_whisper.target.interfaces import Session
from tests.support.session_steps import PROMPT, decode_step, encode_and_prefill, logits_step, prefill_window
from tests.support.sessions import open_session
from tests.support.tiny_program import mel, spec

if "avx2" not in detect_instruction_sets():
    pytest.skip("K/V in blocks are not proved: this processor has no AVX2", allow_module_level=True)

THREE = replace(
    spec(slots=2, beams=3), encode_batch=1, prompt_buckets=(4, 40), choices=7, align_buckets=(40,), skip_padding=True
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("program")
    open_session("cpu float32", THREE, directory).close()
    return directory


@pytest.fixture(scope="module")
def both(program: Path) -> Iterator[tuple[Session, Session]]:
    backends = ContiguousCaches(THREE, dtype="float32"), PagedCaches(THREE, dtype="float32")
    contiguous, paged = (CpuSession(program, THREE, caches, threads=2) for caches in backends)
    yield contiguous, paged
    contiguous.close()
    paged.close()


def test_beams_that_share_and_swap_parents_past_a_block_return_the_same(both: tuple[Session, Session]) -> None:
    rng = np.random.default_rng(5)
    for session in both:
        encode_and_prefill(session, 1, beams=3)
    for position in range(len(PROMPT), BLOCK_SIZE + 6):
        parents, tokens = rng.integers(0, 3, 3).tolist(), rng.integers(0, 90, 3).tolist()
        plain, paged = (decode_step(session, {1: tokens}, position, parents={1: parents}) for session in both)
        np.testing.assert_allclose(paged.logprobs[3:6], plain.logprobs[3:6], atol=2e-4)
        assert paged.tokens[3:6, 0].tolist() == plain.tokens[3:6, 0].tolist()


def test_a_prompt_longer_than_a_block_is_continued_the_same(both: tuple[Session, Session]) -> None:
    prompt = np.array([*PROMPT, *range(10, 45)], np.int32)
    for session in both:
        encode_and_prefill(session, 0, prompt=prompt)
    plain, paged = (decode_step(session, {0: 11}, len(prompt)) for session in both)
    np.testing.assert_allclose(paged.logprobs[0, :1], plain.logprobs[0, :1], atol=2e-4)


def test_all_log_probabilities_and_alignments_are_the_same(both: tuple[Session, Session]) -> None:
    for session in both:
        encode_and_prefill(session, 1, window=3)
    plain, paged = (logits_step(session, {1: 11}, 3)[3] for session in both)
    np.testing.assert_allclose(paged, plain, atol=2e-4)
    weights = [session.align(1, np.arange(10, 40, dtype=np.int32)) for session in both]
    np.testing.assert_allclose(weights[1], weights[0], atol=1e-5)


def test_windows_without_their_padding_are_the_same(both: tuple[Session, Session]) -> None:
    for slot, frames in enumerate((16, 30)):
        for session in both:
            session.encode([slot], mel(1, seed=slot)[:, :, :frames])
            prefill_window(session, slot, beams=3)
    tokens: dict[int, int | list[int]] = {0: [11, 12, 13], 1: [21, 22, 23]}
    plain, paged = (decode_step(session, tokens, 3) for session in both)
    np.testing.assert_allclose(paged.logprobs, plain.logprobs, atol=2e-4)
    weights = [session.align(1, np.arange(10, 20, dtype=np.int32)) for session in both]
    np.testing.assert_allclose(weights[1], weights[0], atol=1e-5)


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Session]]:
    """With an 8-bit encoder, over K/V that are contiguous and in blocks; and the reference."""
    directory = tmp_path_factory.mktemp("fast")
    open_session("cpu fast", THREE, directory).close()
    backends: dict[str, KVCacheBackend] = {
        "contiguous": ContiguousCaches(THREE, dtype="bfloat16"),
        "paged": PagedCaches(THREE, dtype="bfloat16"),
    }
    opened: dict[str, Session] = {
        name: CpuSession(directory, THREE, caches, threads=2) for name, caches in backends.items()
    }
    opened["reference"] = open_session("reference tp1", THREE, tmp_path_factory.mktemp("reference"))
    yield opened
    for session in opened.values():
        session.close()


@pytest.mark.parametrize(("other", "limit"), [("contiguous", 0.4), ("reference", 0.8)])
@pytest.mark.parametrize("frames", [16, 30, 48])
def test_windows_of_an_8_bit_encoder_are_read_from_blocks(
    fast: dict[str, Session], other: str, limit: float, frames: int
) -> None:
    found = []
    for session in (fast["paged"], fast[other]):
        session.encode([1], mel(1, seed=frames)[:, :, :frames])
        prefill_window(session, 1, beams=3)
        decode_step(session, {1: [11, 12, 13]}, 3)
        found.append(logits_step(session, {1: [14, 15, 16]}, 4)[3:6].copy())
    paged, expected = found
    finite = np.isfinite(expected)
    assert np.abs(paged - expected)[finite].mean() < limit  # 1.2 for another window


def test_a_slot_goes_from_one_row_to_all_and_back(both: tuple[Session, Session]) -> None:
    outputs = []
    for session in both:
        encode_and_prefill(session, 0)
        decode_step(session, {0: 11}, 3)
        prefill_window(session, 0, beams=3)
        decode_step(session, {0: [11, 12, 13]}, 3)
        wide = decode_step(session, {0: [14, 15, 16]}, 4, parents={0: [2, 2, 0]})
        prefill_window(session, 0)
        outputs.append((wide.logprobs[:3], decode_step(session, {0: 17}, 3).logprobs[:1, :1]))
    for plain, paged in zip(*outputs, strict=True):
        np.testing.assert_allclose(paged, plain, atol=2e-4)


def test_graphs_write_into_the_blocks_in_place(program: Path) -> None:
    caches = PagedCaches(THREE, dtype="float32")
    session = CpuSession(program, THREE, caches, threads=1)
    encode_and_prefill(session, 0)
    before = [cache.copy() for cache in caches.self_blocks]
    decode_step(session, {0: 11}, 3)
    written = [np.argwhere((cache != old).any((1, 3))) for cache, old in zip(caches.self_blocks, before, strict=True)]
    assert all((0, 3) in map(tuple, places.tolist()) for places in written), "row 0, position 3"
    session.close()
