"""Exports a checkpoint of any format as a Hugging Face directory, for peers that convert from one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from neuron_whisper.model.checkpoint import Checkpoint
from neuron_whisper.model.dims import default_alignment_heads
from neuron_whisper.model.huggingface import to_huggingface_name
from neuron_whisper.text.languages import LANGUAGES
from neuron_whisper.text.special_tokens import SpecialTokens
from neuron_whisper.text.tiktoken_import import find_packaged_ranks, tokenizer_json_from_tiktoken
from neuron_whisper.text.tokenizer import Tokenizer

EXPORTED_FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


def write_huggingface(checkpoint: Checkpoint, directory: Path) -> None:
    """Weights in their own width, configs and tokenizer. Raises CheckpointError."""
    ranks = find_packaged_ranks(checkpoint.dims.is_multilingual)
    # not the checkpoint's own: some lack the timestamps, which converters look for
    tokenizer_file = directory / "tokenizer.json"
    tokenizer_file.write_text(tokenizer_json_from_tiktoken(ranks, checkpoint.dims.n_vocab), encoding="utf-8")
    tokenizer = Tokenizer.from_file(tokenizer_file, checkpoint.dims.n_vocab)
    tensors = {
        f"model.{to_huggingface_name(name)}": np.ascontiguousarray(checkpoint.tensor(name))
        for name in checkpoint.parameter_names
    }
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    dtype = "float16" if any(value.dtype == np.float16 for value in tensors.values()) else "float32"
    written = {
        "config.json": {**_build_config(checkpoint), "torch_dtype": dtype},
        "generation_config.json": _build_generation_config(checkpoint, tokenizer),
        "preprocessor_config.json": {
            "feature_extractor_type": "WhisperFeatureExtractor",
            "processor_class": "WhisperProcessor",
            "chunk_length": 30,
            "feature_size": checkpoint.dims.n_mels,
            "hop_length": 160,
            "n_fft": 400,
            "n_samples": 480_000,
            "nb_max_frames": 3000,
            "padding_side": "right",
            "padding_value": 0.0,
            "return_attention_mask": False,
            "sampling_rate": 16_000,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "WhisperTokenizer",
            "processor_class": "WhisperProcessor",
            "errors": "replace",
            "bos_token": "<|endoftext|>",
            "eos_token": "<|endoftext|>",
            "unk_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>",
            "add_prefix_space": False,
            "model_max_length": 1024,
        },
    }
    for name, content in written.items():
        (directory / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _build_config(checkpoint: Checkpoint) -> dict[str, Any]:
    dims, special = checkpoint.dims, SpecialTokens.from_vocab_size(checkpoint.dims.n_vocab)
    return {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
        "vocab_size": dims.n_vocab,
        "num_mel_bins": dims.n_mels,
        "d_model": dims.n_audio_state,
        "max_source_positions": dims.n_audio_ctx,
        "max_target_positions": dims.n_text_ctx,
        "encoder_layers": dims.n_audio_layer,
        "num_hidden_layers": dims.n_audio_layer,
        "encoder_attention_heads": dims.n_audio_head,
        "encoder_ffn_dim": 4 * dims.n_audio_state,
        "decoder_layers": dims.n_text_layer,
        "decoder_attention_heads": dims.n_text_head,
        "decoder_ffn_dim": 4 * dims.n_text_state,
        "activation_function": "gelu",
        "scale_embedding": False,
        "is_encoder_decoder": True,
        "use_cache": True,
        "decoder_start_token_id": special.sot,
        "bos_token_id": special.eot,
        "eos_token_id": special.eot,
        "pad_token_id": special.eot,
    }


def _build_generation_config(checkpoint: Checkpoint, tokenizer: Tokenizer) -> dict[str, Any]:
    special = tokenizer.special
    heads = checkpoint.alignment_heads or default_alignment_heads(checkpoint.dims)
    config: dict[str, Any] = {
        "alignment_heads": heads,
        "begin_suppress_tokens": [*tokenizer.blank_tokens, special.eot],
        "suppress_tokens": tokenizer.get_suppress_tokens("-1"),
        "decoder_start_token_id": special.sot,
        "bos_token_id": special.eot,
        "eos_token_id": special.eot,
        "pad_token_id": special.eot,
        "is_multilingual": special.is_multilingual,
        "max_initial_timestamp_index": 50,
        "max_length": checkpoint.dims.n_text_ctx,
        "no_timestamps_token_id": special.no_timestamps,
        "prev_sot_token_id": special.sot_prev,
        "return_timestamps": False,
    }
    if special.is_multilingual:
        codes = tuple(LANGUAGES)[: special.n_languages]
        config["lang_to_id"] = {f"<|{code}|>": special.first_language + n for n, code in enumerate(codes)}
        config["task_to_id"] = {"transcribe": special.transcribe, "translate": special.translate}
    return config
