"""Capacity: FLOPs, bytes and collectives are those of the program itself, run on tensors without data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from neuron_whisper.errors import InvalidOption
from neuron_whisper.graph import whisper
from neuron_whisper.graph.layers import PlainLayers
from neuron_whisper.graph.logit_processor import SpecialTokenIds
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.parameters import TOKEN_EMBEDDING, expected_shapes
from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from neuron_whisper.model.sharding import Split, check_tp, get_split, shard
from neuron_whisper.planning.cost_model import GraphCost, RankCostModel, count_shard_values
from neuron_whisper.planning.instances import GIB, NEURON_CORE_V2
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.interfaces import N_RULES, ProgramSpec, spec_from_profile
from neuron_whisper.target.neuron.lowering.layout import padded_context
from neuron_whisper.target.neuron.lowering.operations import PartitionedOperations
from tests.support.tiny_program import spec as tiny_spec

POSITIONS = "decoder.positional_embedding"


class Parameters(Mapping[str, Tensor]):
    """One rank's shards without data; remembers which were asked for."""

    def __init__(self, dims: WhisperDims, tp: int, dtype: torch.dtype) -> None:
        self._shapes = {name: _shard_shape(name, shape, dims, tp) for name, shape in expected_shapes(dims).items()}
        self._dtype = dtype
        self.read_names: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        shape = self._shapes[name]
        self.read_names.add(name)
        return torch.empty(shape, dtype=self._dtype, device="meta")

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def _shard_shape(name: str, shape: tuple[int, ...], dims: WhisperDims, tp: int) -> tuple[int, ...]:
    """By shard itself, on one column or row: the axis that is not split needs no data."""
    split = get_split(name)
    if split is Split.REPLICATED:
        return shape
    if split is Split.ROW:
        return shape[0], shard(name, np.zeros((1, shape[1]), np.float16), dims, tp, 0).shape[1]
    thin = shape[:1] if len(shape) == 1 else (shape[0], 1)
    return shard(name, np.zeros(thin, np.float16), dims, tp, 0).shape[:1] + shape[1:]


class ScoreCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the numbers that softmaxes take; those of the vocabulary are log-softmaxes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.scores = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten._softmax.default:
            self.scores += args[0].numel()
        return func(*args, **(kwargs or {}))


class NeuronOperations(PlainLayers):
    """Plain layers with the encoder's attention as Neuron has it: its products and softmax one by one."""

    attention = PartitionedOperations.attention


class MeasuredRun:
    """A graph run once on one rank, without data: what it multiplied, read, wrote and exchanged."""

    def __init__(self, spec: ProgramSpec, tp: int, dtype: torch.dtype = torch.bfloat16) -> None:
        self.spec, self.dtype, self.tp = spec, dtype, tp
        self.parameters = Parameters(spec.dims, tp, dtype)
        self.exchanged: list[int] = []
        self.program = whisper.GraphConfig(
            dims=spec.dims, special_ids=SpecialTokenIds.from_spec(spec), top_k=spec.choices
        )
        self.layers = NeuronOperations(
            spec.dims,
            self.parameters,
            tp=tp,
            all_reduce=self._reduce,
            all_gather=self._gather,
        )
        self.flops = self.scores = 0
        self.cache_read = self.cache_written = 0

    def _reduce(self, x: Tensor) -> Tensor:
        self.exchanged.append(x.nbytes)
        return x

    def _gather(self, x: Tensor) -> Tensor:
        joined = torch.cat([x] * self.tp, -1)
        self.exchanged.append(joined.numel() * self.dtype.itemsize)  # PlainLayers joins float32, Neuron its own type
        return joined

    def _empty(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return torch.empty(shape, dtype=dtype or self.dtype, device="meta")

    def _cross(self, *leading: int) -> list[whisper.KVPair]:
        dims = self.spec.dims
        shape = (*leading, self.layers.text_heads, dims.n_audio_ctx, dims.head_dim)
        return [(self._empty(*shape), self._empty(*shape)) for _ in range(dims.n_text_layer)]

    def _past(self, slots: int, beams: int, positions: int | None = None) -> list[whisper.KVPair]:
        dims = self.spec.dims
        shape = (slots, beams, self.layers.text_heads, positions or self.spec.text_context, dims.head_dim)
        return [(self._empty(*shape), self._empty(*shape)) for _ in range(dims.n_text_layer)]

    def _bans(self, slots: int) -> Tensor:
        return self._empty(slots, self.layers.vocab, dtype=self.dtype)

    def _count_flops(self, graph: str, *sizes: int) -> MeasuredRun:
        with torch.device("meta"), FlopCounterMode(display=False) as counter, ScoreCounter() as softmaxes:
            getattr(self, f"_{graph}")(*sizes)
        self.flops, self.scores = counter.get_total_flops(), softmaxes.scores
        return self

    def run_graph(self, cost: GraphCost) -> MeasuredRun:
        """The graph that `cost` is about."""
        graph, size = cost.graph.split()
        return self._count_flops(graph, *map(int, size.split("x")))

    def _encode(self, n: int) -> None:
        dims = self.spec.dims
        fresh = whisper.encode(self.program, self.layers, self._empty(n, dims.n_mels, dims.n_frames))
        self.cache_written = _nbytes(fresh)

    def _prefill(self, length: int) -> None:
        cross, ints = self._cross(1), torch.int32
        whisper.prefill(
            self.program,
            self.layers,
            cross,
            whisper.PromptTensors(
                tokens=self._empty(1, length, dtype=ints),
                sot_and_last=self._empty(2, dtype=ints),
                rules=self._empty(1, N_RULES, dtype=ints),
                suppression_bias=self._empty(1, self.layers.vocab, dtype=torch.float32),
            ),
        )
        # of the slot, and written back whole, with the spare positions
        past = _nbytes(self._past(1, self.spec.beams, padded_context(self.spec.text_context)))
        self.cache_read, self.cache_written = _nbytes(cross) + past, past + self._bans(1).nbytes

    def _align(self, length: int) -> None:
        cross = self._cross(1)
        whisper.align(self.program, self.layers, cross, self._empty(1, length, dtype=torch.int32), [(0, 0)])
        if used := {layer for layer, _ in self.spec.alignment_heads}:  # all their heads, in float32
            weights = length * self.spec.dims.n_audio_ctx * 4
            self.exchanged.append(len(used) * self.tp * self.layers.text_heads * weights)
        self.cache_read = _nbytes(cross)

    def _decode(self, slots: int, beams: int = 1) -> None:
        *_, fresh = whisper.decode(self.program, self.layers, *self._step(slots, beams))
        self.cache_written = _nbytes(fresh)

    def _logits(self, slots: int, beams: int = 1) -> None:
        _, fresh = whisper.logits(self.program, self.layers, *self._step(slots, beams))
        self.cache_written = _nbytes(fresh)

    def _step(self, slots: int, beams: int) -> tuple[Any, ...]:
        cross, past, ints = self._cross(slots), self._past(slots, beams), torch.int32
        held = past if beams == 1 else self._past(slots, beams, padded_context(self.spec.text_context))
        self.cache_read = _nbytes(cross) + _nbytes(held) + self._bans(slots).nbytes
        return (
            past,
            cross,
            whisper.StepTensors(
                tokens=self._empty(slots, beams, dtype=ints),
                positions=self._empty(slots, beams, dtype=ints),
                rules=self._empty(slots * beams, N_RULES, dtype=ints),
                suppression_bias=self._empty(slots, self.layers.vocab, dtype=torch.float32),
            ),
        )

    def weight_bytes(self, rows: int) -> int:
        """Of the parameters asked for. Of tables that are looked up, `rows` rows, unless they are multiplied too."""
        total = 0
        for name in self.parameters.read_names.copy():
            tensor = self.parameters[name]
            is_looked_up = name == POSITIONS or (name == TOKEN_EMBEDDING and "decoder.ln.weight" not in self.read_names)
            total += rows * tensor.shape[1] * tensor.itemsize if is_looked_up else tensor.nbytes
        return total

    @property
    def read_names(self) -> set[str]:
        return self.parameters.read_names


def _nbytes(cache: list[whisper.KVPair]) -> int:
    return sum(tensor.nbytes for pair in cache for tensor in pair)


def check(spec: ProgramSpec, tp: int) -> None:
    """Every graph's figures are those of the graph."""
    costs = RankCostModel(spec, tp=tp, dtype="bfloat16", weights_dtype="bfloat16")
    for cost in costs.estimate_graphs():
        run = MeasuredRun(spec, tp).run_graph(cost)
        graph, size = cost.graph.split()
        rows = spec.rows if graph in ("decode", "logits") else int(size)
        assert cost.flops == run.flops, cost.graph
        assert cost.attention_scores == run.scores, cost.graph
        assert cost.weight_bytes == run.weight_bytes(rows), cost.graph
        assert (cost.cache_read_bytes, cost.cache_write_bytes) == (run.cache_read, run.cache_written), cost.graph
        exchanged = run.exchanged if tp > 1 else []
        assert (cost.collectives, cost.collective_bytes) == (len(exchanged), sum(exchanged)), cost.graph


@pytest.mark.parametrize(("slots", "beams", "tp"), [(3, 2, 1), (3, 2, 2), (1, 1, 1), (4, 1, 2)])
def test_every_graph_of_a_small_model_costs_what_torch_counts(slots: int, beams: int, tp: int) -> None:
    check(tiny_spec(slots=slots, beams=beams), tp)


@pytest.mark.parametrize(("model", "tp"), [("base", 1), ("large-v3-turbo", 8), ("kotoba-v2.2", 2), ("kotoba-v2.2", 4)])
def test_every_graph_of_a_published_model_costs_what_torch_counts(model: str, tp: int) -> None:
    profile = parse_profile('format = 1\n[target]\nname = "neuron"\n[shapes]\nalign = true\nencode_batch = 2\n')
    dims = replace(PUBLISHED_DIMS[model], n_audio_layer=3)  # a few layers show the arithmetic, and run faster
    check(spec_from_profile(dims, profile), tp)


dims_of_any = st.builds(
    lambda audio, text, layers, vocab, mels: WhisperDims(
        n_mels=mels,
        n_audio_ctx=12,
        n_audio_state=8 * audio * text,
        n_audio_head=audio,
        n_audio_layer=layers[0],
        n_vocab=52000 + vocab,
        n_text_ctx=24,
        n_text_state=8 * audio * text,
        n_text_head=text,
        n_text_layer=layers[1],
    ),
    st.integers(1, 6),
    st.integers(1, 6),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.integers(0, 40),
    st.sampled_from([80, 128]),
)


@settings(max_examples=12, deadline=None)
@given(dims_of_any, st.sampled_from([1, 2, 3, 4]), st.integers(1, 3), st.integers(1, 2))
def test_every_graph_of_any_model_costs_what_torch_counts(dims: WhisperDims, tp: int, slots: int, beams: int) -> None:
    try:
        check_tp(dims, tp)
    except InvalidOption:
        tp = 1
    check(replace(tiny_spec(slots=slots, beams=beams), dims=dims, text_context=20), tp)


@pytest.mark.parametrize("tp", [1, 2, 4, 8])
def test_the_weights_of_a_core_are_the_shards_that_it_loads(tp: int) -> None:
    dims = PUBLISHED_DIMS["base"]
    expected = 0
    for name, shape in expected_shapes(dims).items():
        part = shard(name, np.zeros(shape, np.float16), dims, tp, tp - 1)
        assert count_shard_values(name, shape, dims, tp) == part.size, name
        expected += part.nbytes
    spec = spec_from_profile(dims, parse_profile('format = 1\n[target]\nname = "neuron"\n'))
    assert RankCostModel(spec, tp=tp, dtype="float32", weights_dtype="float16").weight_bytes == expected


def test_heads_and_vocabulary_are_padded_in_memory_and_arithmetic() -> None:
    spec = spec_from_profile(PUBLISHED_DIMS["large-v3"], parse_profile('format = 1\n[target]\nname = "neuron"\n'))
    four, eight = (RankCostModel(spec, tp=tp, dtype="float16", weights_dtype="float16") for tp in (4, 8))
    assert (four.cross_bytes_per_slot, eight.cross_bytes_per_slot) == (61_440_000, 36_864_000)  # 5 heads of 20; 3 of 24
    assert 8 * eight.estimate_decode().flops > 4 * four.estimate_decode().flops


def test_the_budget_of_kotoba_at_tp_2_is_kept() -> None:
    """16 bit, 8 slots: a step reads at most 120 MB of weights, a short prompt takes at most 12 GFLOP."""
    spec = spec_from_profile(PUBLISHED_DIMS["kotoba-v2.2"], parse_profile('format = 1\n[target]\nname = "neuron"\n'))
    costs = RankCostModel(spec, tp=2, dtype="bfloat16", weights_dtype="bfloat16")
    assert costs.estimate_decode().weight_bytes <= 120e6
    assert costs.estimate_prefill(4).flops <= 12e9
    assert costs.estimate_encode(1).collective_bytes == 2 * 32 * 1500 * 1280 * 2


def test_slots_fill_what_weights_and_reserve_leave_and_no_more() -> None:
    spec = spec_from_profile(PUBLISHED_DIMS["large-v3"], parse_profile('format = 1\n[target]\nname = "neuron"\n'))
    costs = RankCostModel(spec, tp=1, dtype="bfloat16", weights_dtype="bfloat16")
    fit = costs.max_slots(NEURON_CORE_V2, 2 * GIB)
    left = NEURON_CORE_V2.memory_bytes - 2 * GIB - costs.weight_bytes
    assert fit * costs.slot_bytes <= left < (fit + 1) * costs.slot_bytes
    assert costs.max_slots(NEURON_CORE_V2, 16 * GIB) == 0


def test_a_type_that_the_device_is_not_lowered_for_is_refused() -> None:
    with pytest.raises(InvalidOption, match=r"weights.dtype: 'int8' is not allowed; one of float32, bfloat16, float16"):
        RankCostModel(tiny_spec(), tp=1, dtype="bfloat16", weights_dtype="int8")
    with pytest.raises(InvalidOption, match="tp: 3"):
        RankCostModel(tiny_spec(), tp=3, dtype="bfloat16", weights_dtype="bfloat16")


def test_buckets_are_cut_to_the_models_context_and_choices_follow_the_beams() -> None:
    profile = parse_profile('format = 1\n[target]\nname = "cpu"\n[shapes]\nprompt_buckets = [4, 500]\nbeams = 5\n')
    spec = spec_from_profile(PUBLISHED_DIMS["base"], profile)
    assert (spec.prompt_buckets, spec.choices, spec.align_buckets) == ((4, 448), 11, ())


def test_replicas_are_in_a_profile_and_one_is_what_it_was_before_there_were_any() -> None:
    text = 'format = 1\n[target]\nname = "neuron"\n'
    two = parse_profile(text, overrides={"target.replicas": 2})
    assert two.target.replicas == 2
    assert two.to_canonical()["target"]["replicas"] == 2
    assert parse_profile(two.to_toml()) == two
    one = parse_profile(text, overrides={"target.replicas": 1})
    assert one == parse_profile(text) == parse_profile(one.to_toml())
    assert "replicas" not in one.to_canonical()["target"]
