"""What the graphs of a program cost when NxD's layers are lowered, and what those of NxDI's own Whisper cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch

from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.target.interfaces import ProgramSpec
from neuron_whisper.target.neuron.lowering.graphs import example_inputs
from tests.neuron_sim.costs import HloBudget, hlo_budget


@contextmanager
def parallel_state(tp: int) -> Iterator[None]:
    """NxD's state of a trace, as ModelBuilder.trace makes it."""
    from neuronx_distributed.parallel_layers import parallel_state  # type: ignore[import-not-found] # no stubs
    from neuronx_distributed.trace.mock_torchdist import mock_distributed  # type: ignore[import-not-found] # no stubs

    with mock_distributed(world_size=tp):
        torch.distributed.init_process_group("xla", rank=0, world_size=tp)
        parallel_state.initialize_model_parallel(tensor_model_parallel_size=tp, skip_collective_init=True)
        parallel_state.set_aot_mode(True)
        try:
            yield
        finally:
            parallel_state.set_aot_mode(False)
            parallel_state.destroy_model_parallel()
            torch.distributed.destroy_process_group()


def program_budgets(spec: ProgramSpec, tp: int, dtype: torch.dtype) -> dict[str, HloBudget]:
    """Of every graph of the program, by tag and the bucket's place in it: "prefill 0". No weight is made."""
    from neuron_whisper.target.neuron.lowering.layers import NeuronLayers

    found = {}
    with parallel_state(tp):
        for tag, (graph, buckets) in example_inputs(spec, dtype).items():
            for place, inputs in enumerate(buckets):
                with torch.device("meta"):
                    made = graph(spec, NeuronLayers(spec.dims, tp=tp, dtype=dtype), dtype)
                found[f"{tag} {place}"] = hlo_budget(made, inputs, spec.dims.n_vocab, made.aliases())
    return found


def nxdi_budgets(dims: WhisperDims, tp: int, dtype: torch.dtype) -> Mapping[str, HloBudget]:
    """Of NxDI's own Whisper, which takes one window and 448 tokens: encode, prefill, decode. No weight is made."""
    from neuronx_distributed.utils.model_utils import init_on_device  # type: ignore[import-not-found] # no stubs
    from neuronx_distributed_inference.models.config import NeuronConfig  # type: ignore[import-not-found] # no stubs
    from neuronx_distributed_inference.models.whisper import modeling_whisper as nxdi  # type: ignore[import-not-found]

    graphs: dict[str, tuple[Any, Any]] = {
        "encode": (nxdi.WhisperModelEncoderInstance, nxdi.ModelWrapperWhisperEncoder),
        "prefill": (nxdi.WhisperModelDecoderInstance, nxdi.ModelWrapperWhisperDecoderPrefill),
        "decode": (nxdi.WhisperModelDecoderInstance, nxdi.ModelWrapperWhisperDecoderDecode),
    }
    neuron_config = NeuronConfig(batch_size=1, torch_dtype=dtype, tp_degree=tp)
    config = nxdi.WhisperInferenceConfig(
        neuron_config,
        d_model=dims.n_text_state,
        hidden_size=dims.n_text_state,
        encoder_layers=dims.n_audio_layer,
        decoder_layers=dims.n_text_layer,
        encoder_attention_heads=dims.n_audio_head,
        decoder_attention_heads=dims.n_text_head,
        encoder_ffn_dim=4 * dims.n_audio_state,
        decoder_ffn_dim=4 * dims.n_text_state,
        num_mel_bins=dims.n_mels,
        vocab_size=dims.n_vocab,
        max_source_positions=dims.n_audio_ctx,
        max_target_positions=dims.n_text_ctx,
        pad_token_id=0,
    )
    found = {}
    with parallel_state(tp):
        for name, (instance_class, wrapper_class) in graphs.items():
            instance = instance_class(config)
            with init_on_device(torch.device("meta"), force_custom_init_on_device=True):
                instance.load_module()
            # a wrapper's input_generator reads nothing but the two configurations
            wrapper = SimpleNamespace(config=config, neuron_config=neuron_config)
            module, aliases = instance.get(0)
            found[name] = hlo_budget(module, wrapper_class.input_generator(wrapper)[0], dims.n_vocab, aliases)
    return found
