"""Cost model of a program on a NeuronCore: bytes, FLOPs, scores, collectives, and how many slots fit.

Everything here is computed from the program in graph/whisper.py and target/neuron/lowering, and nothing is
measured; tests/neuron_sim/test_neuron_plan compares it with the lowered graphs. FLOPs count matrix products and
convolutions (twice the multiply-adds). Bytes are the minimum that crosses the device memory: every weight once, every
cache row once, with activations staying on the chip. All figures are of one rank.

Axes: N windows, A audio positions, T prompt tokens, S slots, R = S * beams rows, C past positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from neuron_whisper.errors import InvalidOption
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.parameters import TOKEN_EMBEDDING, expected_shapes
from neuron_whisper.model.sharding import Split, check_tp, get_split, pad_heads, pad_vocab
from neuron_whisper.planning.instances import NeuronCoreSpec
from neuron_whisper.target.interfaces import N_RULES, ProgramSpec
from neuron_whisper.target.neuron.lowering.layout import (
    PROMPT_COLUMNS,
    STEP_COLUMNS,
    count_suppression_words,
    padded_context,
)

# The types that NeuronCores-v2 are lowered for; int8 is for CPUs only.
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
INT_BYTES = FLOAT_BYTES = 4  # of ids, rules and log-probabilities, which cross to the host and back
DECODER_POSITIONS = "decoder.positional_embedding"

# The two numbers of the compiler's memory estimate lie between two reports; no peak of neuronx-cc is published.
# - Compiled on an inf2.xlarge (16 GiB, of which some 15.3 GB are free) in 32 s, in a published run: Kotoba's encoder,
#   which is of large-v3's size, at tp 2 by NxDI: 1.15 TFLOP a rank. Derived: with 4.6 GB of Kotoba's weights here and
#   2 GB for the compiler itself, at most (15.3 - 4.6 - 2) / 1.16 = 7.5 GB per TFLOP.
# - Killed on an inf2.xlarge: `decoder_neuron` of Stable Diffusion 2.1 at 512 x 512 (aws-neuron-samples issue 10), the
#   VAE's decoder, 2.5 TFLOP by its layers' shapes. Derived: with nothing else in memory, more than
#   (16.5 - 2) / 2.5 = 5.8 GB per TFLOP.
# That the compiler's memory grows with FLOPs is an assumption. Not explained by it: a prompt of 32 tokens of Llama 3.1
# 8B, 1 TFLOP at tp 1, on 32 GiB (nki-samples issue 87), which ended while it was traced, before the compiler began.
COMPILER_BYTES = 2_000_000_000
COMPILER_BYTES_PER_TFLOP = 7_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphCost:
    """One run of one graph on one rank. `collectives` are all-reduces and gathers, of `collective_bytes` in all.

    `attention_scores` are the numbers that softmaxes of attention take, which the vector engine passes over.
    Caches are K/V and suppression masks. Inputs from the host and outputs to it pass through device memory too.
    """

    graph: str
    flops: int
    attention_scores: int
    weight_bytes: int
    cache_read_bytes: int
    cache_write_bytes: int
    from_host_bytes: int
    to_host_bytes: int
    collectives: int
    collective_bytes: int

    @property
    def bytes(self) -> int:
        """The minimum that crosses the device memory."""
        caches = self.cache_read_bytes + self.cache_write_bytes
        return self.weight_bytes + caches + self.from_host_bytes + self.to_host_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileMemory:
    """Host memory that compiling takes: an estimate.

    `weight_bytes` is arithmetic: the checkpoint in float32 and every rank's shards. The compiler's part of each graph,
    in `graph_bytes`, is a guess.
    """

    weight_bytes: int
    graph_bytes: tuple[tuple[str, int], ...]

    def peak_bytes(self, jobs: int) -> int:
        """With up to `jobs` graphs in the compiler at once, in the worst case the largest. Includes `weight_bytes`."""
        largest = sorted((size for _, size in self.graph_bytes), reverse=True)
        return self.weight_bytes + sum(largest[:jobs])

    @property
    def largest_graph(self) -> tuple[str, int]:
        return max(self.graph_bytes, key=lambda it: it[1])

    @property
    def one_at_a_time_bytes(self) -> int:
        return self.peak_bytes(1)

    @property
    def all_at_once_bytes(self) -> int:
        return self.peak_bytes(len(self.graph_bytes))


def count_shard_values(name: str, shape: tuple[int, ...], dims: WhisperDims, tp: int) -> int:
    """Values in one rank's part of a parameter, padding included: the size of model/sharding.shard's result."""
    split = get_split(name)
    if split is Split.REPLICATED:
        return math.prod(shape)
    axis = 1 if split is Split.ROW else 0
    length = shape[axis]
    if split is Split.VOCAB:
        length = pad_vocab(length, tp)
    elif ".mlp." not in name:
        heads = dims.n_audio_head if name.startswith("encoder.") else dims.n_text_head
        length = pad_heads(heads, tp) * (length // heads)
    return math.prod(shape) // shape[axis] * (length // tp)


def _is_projected_in_encode(name: str) -> bool:
    return name.startswith("encoder.") or ".cross_attn.key." in name or ".cross_attn.value." in name


class RankCostModel:
    """The costs of a program on one of `tp` ranks; every rank's are the same.

    `dtype` is of activations and caches, `weights_dtype` of parameters. Raises InvalidOption for a tp that does not
    fit the model, and for a type that NeuronCores are not lowered for.
    """

    def __init__(self, spec: ProgramSpec, *, tp: int, dtype: str, weights_dtype: str) -> None:
        check_tp(spec.dims, tp)
        for field, value in (("target.dtype", dtype), ("weights.dtype", weights_dtype)):
            if value not in DTYPE_BYTES:
                raise InvalidOption(field, value, f"one of {', '.join(DTYPE_BYTES)} on a Neuron device")
        self.spec, self.tp, self.dtype, self.weights_dtype = spec, tp, dtype, weights_dtype
        dims = spec.dims
        self._dtype_bytes, self._weight_dtype_bytes = DTYPE_BYTES[dtype], DTYPE_BYTES[weights_dtype]
        self._audio_heads = pad_heads(dims.n_audio_head, tp) // tp
        self._text_heads = pad_heads(dims.n_text_head, tp) // tp
        self._audio_head_dim = dims.n_audio_state // dims.n_audio_head
        self._vocab = pad_vocab(dims.n_vocab, tp)
        self._counts = {
            name: count_shard_values(name, shape, dims, tp) for name, shape in expected_shapes(dims).items()
        }

    # --- memory ---------------------------------------------------------------------------------

    @property
    def weight_bytes(self) -> int:
        """Of this rank's parameters, which all graphs share."""
        return self._weight_bytes_of(lambda name: True)

    @property
    def cross_bytes_per_slot(self) -> int:
        """Cross-K/V, of this rank's heads; the beams of a slot share them."""
        dims = self.spec.dims
        return 2 * dims.n_text_layer * dims.n_audio_ctx * self._text_state * self._dtype_bytes

    @property
    def self_bytes_per_slot(self) -> int:
        """Self-K/V of all beams, of this rank's heads, without the spare positions, which nothing reads."""
        dims, spec = self.spec.dims, self.spec
        return 2 * dims.n_text_layer * spec.beams * spec.text_context * self._text_state * self._dtype_bytes

    @property
    def suppression_bytes_per_slot(self) -> int:
        """What suppression adds to logits; every rank has the whole."""
        return self._vocab * self._dtype_bytes

    @property
    def slot_bytes(self) -> int:
        """Memory of one slot: its K/V with their spare positions, and its suppression mask."""
        return self.cross_bytes_per_slot + self._held_self_bytes_per_slot + self.suppression_bytes_per_slot

    @property
    def _held_self_bytes_per_slot(self) -> int:
        """Self-K/V with their spare positions."""
        context = self.spec.text_context
        return self.self_bytes_per_slot // context * padded_context(context)

    def max_slots(self, core: NeuronCoreSpec, reserve_bytes: int) -> int:
        """Slots that fit the core's memory after the weights and the reserve; 0 when the weights alone do not fit.

        A program has at most 1,024 slots, whatever fits.
        """
        return max(0, core.memory_bytes - reserve_bytes - self.weight_bytes) // self.slot_bytes

    def estimate_compile_memory(self) -> CompileMemory:
        """Host memory to compile every graph. An estimate: see CompileMemory."""
        whole = sum(math.prod(shape) for shape in expected_shapes(self.spec.dims).values())
        weights = whole * DTYPE_BYTES["float32"] + self.tp * self.weight_bytes
        graphs = tuple(
            (cost.graph, COMPILER_BYTES + int(cost.flops / 1e12 * COMPILER_BYTES_PER_TFLOP))
            for cost in self.estimate_graphs()
        )
        return CompileMemory(weight_bytes=weights, graph_bytes=graphs)

    # --- graphs ---------------------------------------------------------------------------------

    def estimate_graphs(self) -> tuple[GraphCost, ...]:
        """Every graph of the program, in the order in which a window meets them."""
        spec = self.spec
        return (
            *(self.estimate_encode(batch) for batch in spec.encode_batches),
            *(self.estimate_prefill(bucket) for bucket in spec.prompt_buckets),
            self.estimate_decode(),
            self.estimate_logits(),
            *(self.estimate_align(bucket) for bucket in spec.align_buckets),
        )

    def estimate_encode(self, n: int) -> GraphCost:
        """N windows through the encoder, and their cross-K/V."""
        dims, rows = self.spec.dims, n * self.spec.dims.n_audio_ctx
        state, width = dims.n_audio_state, self._audio_heads * self._audio_head_dim
        # the convolutions are not split: every rank runs them whole
        convolutions = _matmul_flops(n * dims.n_frames, 3 * dims.n_mels, state) + _matmul_flops(rows, 3 * state, state)
        attention = 2 * n * self._audio_heads * _matmul_flops(dims.n_audio_ctx, self._audio_head_dim, dims.n_audio_ctx)
        layer = 4 * _matmul_flops(rows, state, width) + attention + self._mlp_flops(rows, state)
        cross = dims.n_text_layer * 2 * _matmul_flops(rows, state, self._text_state)
        collectives = 2 * dims.n_audio_layer if self.tp > 1 else 0
        return GraphCost(
            graph=f"encode {n}",
            flops=convolutions + dims.n_audio_layer * layer + cross,
            attention_scores=dims.n_audio_layer * n * self._audio_heads * dims.n_audio_ctx**2,
            weight_bytes=self._weight_bytes_of(_is_projected_in_encode),
            cache_read_bytes=0,
            cache_write_bytes=n * self.cross_bytes_per_slot,
            from_host_bytes=n * (dims.n_mels * dims.n_frames * self._dtype_bytes + INT_BYTES),
            to_host_bytes=n * (INT_BYTES + FLOAT_BYTES),
            collectives=collectives,
            collective_bytes=collectives * rows * state * self._dtype_bytes,
        )

    def estimate_prefill(self, length: int) -> GraphCost:
        """A prompt of one slot, padded to `length`; logits are computed at two positions.

        The slot's self-K/V is written whole: new rows, and those after them unchanged.
        """
        spec, mask_bytes, logit_rows = self.spec, self.suppression_bytes_per_slot, 2
        words = count_suppression_words(spec.dims.n_vocab)
        return GraphCost(
            graph=f"prefill {length}",
            flops=self._prompt_flops(length) + self._logits_flops(logit_rows),
            attention_scores=self._decoder_scores(length, length),
            weight_bytes=self._decoder_weight_bytes(length, reads_vocab=True),
            cache_read_bytes=self.cross_bytes_per_slot + self._held_self_bytes_per_slot,
            cache_write_bytes=self._held_self_bytes_per_slot + mask_bytes,
            from_host_bytes=(PROMPT_COLUMNS + N_RULES + words + length) * INT_BYTES,
            to_host_bytes=spec.choices * INT_BYTES + (spec.special.n_languages + 1 + spec.choices) * FLOAT_BYTES,
            **self._decoder_collectives(length, logit_rows),
        )

    def estimate_align(self, length: int) -> GraphCost:
        """A prompt without logits. A compiler may drop the layers after the last alignment head.

        The gathered and returned attention weights are counted when `spec` names the heads, which are a checkpoint's.
        """
        heads, weights = self.spec.alignment_heads, length * self.spec.dims.n_audio_ctx * FLOAT_BYTES
        # nothing else reads the token embedding here
        embedded = length * self.spec.dims.n_text_state * self._weight_dtype_bytes
        shared = self._decoder_collectives(length, 0)
        if heads and self.tp > 1:  # every head of the layers used
            shared["collectives"] += 1
            shared["collective_bytes"] += len({layer for layer, _ in heads}) * self.tp * self._text_heads * weights
        return GraphCost(
            graph=f"align {length}",
            flops=self._prompt_flops(length),
            attention_scores=self._decoder_scores(length, length),
            weight_bytes=self._decoder_weight_bytes(length, reads_vocab=False) + embedded,
            cache_read_bytes=self.cross_bytes_per_slot,
            cache_write_bytes=0,
            from_host_bytes=(1 + length) * INT_BYTES,
            to_host_bytes=INT_BYTES + len(heads) * weights,
            **shared,
        )

    def estimate_decode(self) -> GraphCost:
        """One token for every row of every slot; idle slots cost the same."""
        return self._estimate_step("decode", STEP_COLUMNS, self.spec.choices * (INT_BYTES + FLOAT_BYTES))

    def estimate_logits(self) -> GraphCost:
        """A decode step that outputs every token's log-probability: only sampling runs it."""
        return self._estimate_step("logits", STEP_COLUMNS + 1, INT_BYTES + self.spec.dims.n_vocab * FLOAT_BYTES)

    def _estimate_step(self, name: str, columns: int, output_bytes: int) -> GraphCost:
        """Each row reads `columns` numbers besides the rules, and writes `output_bytes`."""
        spec, dims = self.spec, self.spec.dims
        rows = spec.rows
        # beams move with whole rows
        past_bytes = self.self_bytes_per_slot if spec.beams == 1 else self._held_self_bytes_per_slot
        past = 2 * rows * self._text_heads * _matmul_flops(1, dims.head_dim, spec.text_context)
        return GraphCost(
            graph=f"{name} {spec.slots}" + (f"x{spec.beams}" if spec.beams > 1 else ""),
            flops=dims.n_text_layer * (self._decoder_layer_flops(rows) + past) + self._logits_flops(rows),
            attention_scores=self._decoder_scores(rows, spec.text_context + 1),  # and that of the token itself
            weight_bytes=self._decoder_weight_bytes(rows, reads_vocab=True),
            cache_read_bytes=spec.slots * (self.cross_bytes_per_slot + past_bytes + self.suppression_bytes_per_slot),
            cache_write_bytes=2 * dims.n_text_layer * rows * self._text_state * self._dtype_bytes,
            from_host_bytes=rows * (columns + N_RULES) * INT_BYTES,
            to_host_bytes=rows * output_bytes,
            **self._decoder_collectives(rows, rows),
        )

    # --- parts ----------------------------------------------------------------------------------

    @property
    def _text_state(self) -> int:
        """Of this rank's part of queries, keys and values."""
        return self._text_heads * self.spec.dims.head_dim

    def _mlp_flops(self, rows: int, state: int) -> int:
        return 2 * _matmul_flops(rows, state, 4 * state // self.tp)

    def _decoder_layer_flops(self, rows: int) -> int:
        """FLOPs, but for the scores over the text's own past."""
        dims, state = self.spec.dims, self.spec.dims.n_text_state
        projections = 6 * _matmul_flops(rows, state, self._text_state)  # q, k, v, out; cross q, out
        cross = 2 * self._text_heads * _matmul_flops(rows, dims.head_dim, dims.n_audio_ctx)
        return projections + cross + self._mlp_flops(rows, state)

    def _prompt_flops(self, length: int) -> int:
        """FLOPs of all decoder layers over a prompt, which attends to itself."""
        dims = self.spec.dims
        scores = 2 * self._text_heads * _matmul_flops(length, dims.head_dim, length)
        return dims.n_text_layer * (self._decoder_layer_flops(length) + scores)

    def _decoder_scores(self, rows: int, positions: int) -> int:
        """Scores of `rows` tokens over `positions` of text and all of the audio."""
        dims = self.spec.dims
        return dims.n_text_layer * self._text_heads * rows * (positions + dims.n_audio_ctx)

    def _logits_flops(self, rows: int) -> int:
        return _matmul_flops(rows, self.spec.dims.n_text_state, self._vocab // self.tp)

    def _decoder_weight_bytes(self, positions: int, *, reads_vocab: bool) -> int:
        """Bytes of the decoder's parameters; of the position embeddings only the rows that are looked up."""

        def is_read(name: str) -> bool:
            if name == TOKEN_EMBEDDING or name.startswith("decoder.ln."):
                return reads_vocab
            return name != DECODER_POSITIONS and not _is_projected_in_encode(name)

        return self._weight_bytes_of(is_read) + positions * self.spec.dims.n_text_state * self._weight_dtype_bytes

    def _weight_bytes_of(self, is_read: Callable[[str], bool]) -> int:
        return sum(count for name, count in self._counts.items() if is_read(name)) * self._weight_dtype_bytes

    def _decoder_collectives(self, rows: int, logit_rows: int) -> dict[str, int]:
        """The embedding and three sums a layer, and the logits joined."""
        if self.tp == 1:
            return {"collectives": 0, "collective_bytes": 0}
        dims = self.spec.dims
        reduces = 1 + 3 * dims.n_text_layer
        return {
            "collectives": reduces + (logit_rows > 0),
            "collective_bytes": reduces * rows * dims.n_text_state * self._dtype_bytes
            + logit_rows * self._vocab * self._dtype_bytes,
        }


def _matmul_flops(rows: int, inner: int, columns: int) -> int:
    """FLOPs of (rows, inner) @ (inner, columns)."""
    return 2 * rows * inner * columns
