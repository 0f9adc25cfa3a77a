"""The dimensions of a Whisper model, from whichever config describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class WhisperDims:
    """Sizes, with openai/whisper's names (model.py ModelDimensions)."""

    n_mels: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    n_vocab: int
    n_text_ctx: int
    n_text_state: int
    n_text_head: int
    n_text_layer: int

    @property
    def head_dim(self) -> int:
        """64 in every published Whisper."""
        return self.n_text_state // self.n_text_head

    @property
    def is_multilingual(self) -> bool:
        return self.n_vocab >= 51865

    @property
    def n_frames(self) -> int:
        """Mel frames of one window: the encoder's second convolution halves them."""
        return 2 * self.n_audio_ctx

    @classmethod
    def from_hf_config(cls, config: Mapping[str, Any]) -> WhisperDims:
        """From a Hugging Face `config.json`. Raises KeyError on a missing field."""
        return cls(
            n_mels=config["num_mel_bins"],
            n_audio_ctx=config["max_source_positions"],
            n_audio_state=config["d_model"],
            n_audio_head=config["encoder_attention_heads"],
            n_audio_layer=config["encoder_layers"],
            n_vocab=config["vocab_size"],
            n_text_ctx=config["max_target_positions"],
            n_text_state=config["d_model"],
            n_text_head=config["decoder_attention_heads"],
            n_text_layer=config["decoder_layers"],
        )


def default_alignment_heads(dims: WhisperDims) -> tuple[tuple[int, int], ...]:
    """All heads of the upper half of the decoder: openai/whisper's choice where a model names none."""
    return tuple(
        (layer, head) for layer in range(dims.n_text_layer // 2, dims.n_text_layer) for head in range(dims.n_text_head)
    )
