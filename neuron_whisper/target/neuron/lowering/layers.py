"""NeuronLayers: a LayerBackend of NxD's parallel layers. Imported only where the graphs are traced.

Parameters have the checkpoint's names and hold the part that model/sharding.shard returns for a rank.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

# no stubs; on machines without Neuron also no packages
from neuronx_distributed.parallel_layers.layers import (  # type: ignore[import-not-found]
    ColumnParallelLinear,
    RowParallelLinear,
    SPMDRank,
)
from neuronx_distributed.parallel_layers.mappings import (  # type: ignore[import-not-found]
    gather_from_tensor_model_parallel_region_with_dim,
    reduce_from_tensor_model_parallel_region,
)
from torch import Tensor, nn
from torch_xla.core import xla_builder, xla_op_registry

from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.parameters import TOKEN_EMBEDDING, expected_shapes
from neuron_whisper.model.sharding import Split, get_split, pad_heads, pad_vocab
from neuron_whisper.target.neuron.lowering.operations import PartitionedOperations


class NeuronLayers(PartitionedOperations, nn.Module):
    """Layers of one rank of `tp`. To be created while NxD's parallel state is that of a trace.

    All parameters and collectives are of `dtype`; layer norms and softmaxes compute in float32.
    """

    def __init__(self, dims: WhisperDims, *, tp: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.audio_heads = pad_heads(dims.n_audio_head, tp) // tp
        self.text_heads = pad_heads(dims.n_text_head, tp) // tp
        self.vocab = pad_vocab(dims.n_vocab, tp)
        self._dims, self._tp, self._dtype = dims, tp, dtype
        shapes = expected_shapes(dims)
        for name, shape in shapes.items():
            layer, _, kind = name.rpartition(".")
            split = get_split(name)
            if split is Split.REPLICATED:
                if f"{layer}.weight" not in shapes or get_split(f"{layer}.weight") is Split.REPLICATED:
                    # Norms, convolutions and positions; the parallel layers have their own replicated bias.
                    holder = self._get_or_add_module(layer)
                    holder.register_parameter(kind, nn.Parameter(torch.zeros(shape, dtype=dtype), requires_grad=False))
            elif kind == "weight":
                self._add_layer(layer, self._make_parallel_layer(name, shape, f"{layer}.bias" in shapes))
        if tp > 1:
            # The graph is the same on every rank: which one it runs on is a weight (parallel_layers SPMDRank).
            self.spmd = SPMDRank(world_size=tp, tensor_model_parallel_size=tp)

    def _make_parallel_layer(self, name: str, shape: tuple[int, ...], has_bias: bool) -> nn.Module:
        out, inner = shape
        options = {"bias": has_bias, "dtype": self._dtype, "init_method": _skip_init}
        if name == TOKEN_EMBEDDING:
            layer: nn.Module = ColumnParallelLinear(inner, self.vocab, gather_output=False, **options)
        elif get_split(name) is Split.COLUMN:
            layer = ColumnParallelLinear(inner, self._padded_length(name, out), gather_output=False, **options)
        else:
            layer = RowParallelLinear(
                self._padded_length(name, inner), out, input_is_parallel=True, reduce_dtype=self._dtype, **options
            )
        for parameter in layer.parameters():
            parameter.requires_grad_(False)
        return layer

    def _padded_length(self, name: str, length: int) -> int:
        """`length` of the split axis, with the heads that model/sharding adds."""
        if ".mlp." in name:
            return length
        heads = self._dims.n_audio_head if name.startswith("encoder.") else self._dims.n_text_head
        return pad_heads(heads, self._tp) * (length // heads)

    def _get_or_add_module(self, path: str) -> nn.Module:
        module: nn.Module = self
        for part in path.split("."):
            if part not in module._modules:
                module.add_module(part, nn.Module())
            module = module.get_submodule(part)
        return module

    def _add_layer(self, path: str, layer: nn.Module) -> None:
        parent, _, name = path.rpartition(".")
        self._get_or_add_module(parent).add_module(name, layer)

    def column(self, name: str, x: Tensor) -> Tensor:
        out: Tensor = self.get_submodule(name)(x)
        return out

    def row(self, name: str, x: Tensor) -> Tensor:
        out: Tensor = self.get_submodule(name)(x)
        return out

    def norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.parameter(f"{name}.weight"), self.parameter(f"{name}.bias")
        # with weights, torch_xla's lowering has an int64 constant
        normed = F.layer_norm(x.float(), weight.shape)
        return (normed * weight.float() + bias.float()).to(x.dtype)

    def conv(self, name: str, x: Tensor, stride: int) -> Tensor:
        return F.conv1d(x, self.parameter(f"{name}.weight"), self.parameter(f"{name}.bias"), stride=stride, padding=1)

    def parameter(self, name: str) -> Tensor:
        # no get_parameter: while a graph is traced, other tensors replace the parameters
        layer, _, kind = name.rpartition(".")
        parameter: Tensor = getattr(self.get_submodule(layer), kind)
        return parameter

    def embed(self, tokens: Tensor) -> Tensor:
        table = self.parameter(TOKEN_EMBEDDING)
        if self._tp == 1:
            return F.embedding(tokens, table)
        # int32: a Python number would be an int64 one
        zero, count = (torch.full((), number, dtype=torch.int32) for number in (0, table.shape[0]))
        local = tokens - self.spmd.get_rank() * count
        mine = torch.logical_and(local >= zero, local < count)
        rows = F.embedding(torch.where(mine, local, zero), table)
        rows = torch.where(mine.unsqueeze(-1), rows, torch.zeros_like(rows))
        summed: Tensor = reduce_from_tensor_model_parallel_region(rows)
        return summed

    def logits(self, x: Tensor) -> Tensor:
        # gathered in its own type: half the bytes between the ranks
        part = F.linear(x, self.parameter(TOKEN_EMBEDDING))
        return self.gather(part, x.dim() - 1)

    def put_rows(self, state: Tensor, at: Tensor, rows: Tensor) -> Tensor:
        written: Tensor = _PUT_ROWS(state, at.unsqueeze(1), rows.to(state.dtype))
        return written

    def gather(self, part: Tensor, axis: int) -> Tensor:
        """Every rank's part, joined on `axis`."""
        whole: Tensor = gather_from_tensor_model_parallel_region_with_dim(part, gather_dim=axis)
        return whole


def _lower_put_rows(state: Any, at: Any, rows: Any) -> Any:
    """A scatter of whole rows: index_put compares its indices as int64, scatter takes one for every element."""
    shape = state.shape()
    scalar = xla_builder.Shape.create(shape.dtype, [])
    replace = xla_builder.Op.make_computation("Replace", lambda old, new: new, (scalar, scalar))
    return state.scatter(
        at,
        rows,
        replace,
        update_window_dims=list(range(1, shape.rank)),
        inserted_window_dims=[0],
        scatter_dims_to_operand_dims=[0],
        index_vector_dim=1,
        indices_are_sorted=False,
        unique_indices=False,  # nobody has seen what a device's compiler makes of a promise
    )


_PUT_ROWS = xla_op_registry.register("put_rows", _lower_put_rows)


def _skip_init(weight: Tensor) -> Tensor:
    """Leave the weight as it is: NxD would fill it with random numbers, to be replaced."""
    return weight
