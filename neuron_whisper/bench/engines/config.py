"""Configuration of an engine under test, as data that is sent to its worker process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingConfig:
    """Decoding options, the same for every engine; names and defaults are openai/whisper's. `beam_size` None: greedy.

    `extras`: neuron-whisper may do what openai/whisper does not, voice activity detection and repetition truncation.
    """

    task: str = "transcribe"
    beam_size: int | None = None
    temperature: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    best_of: int = 5
    condition_on_previous_text: bool = True
    extras: bool = True
    word_timestamps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """An engine, its weights and its options.

    `source` is the path of the weights, for neuron-whisper of the artifact; `cache` is neuron-whisper's alone.
    `alignment_heads` are (layer, head) pairs for an engine whose weights do not name them. `workers`: clips that
    faster-whisper takes at once, each with `threads`.
    """

    engine: str
    variant: str
    source: str
    threads: int
    decoding: DecodingConfig
    is_multilingual: bool = True
    cache: str = ""
    workers: int = 1
    alignment_heads: tuple[tuple[int, int], ...] = ()

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> EngineConfig:
        """The config of `asdict` after a round trip through JSON, which turns tuples into lists."""
        decoding = dict(data["decoding"])
        decoding["temperature"] = tuple(decoding["temperature"])
        heads = tuple((layer, head) for layer, head in data["alignment_heads"])
        return cls(**{**data, "decoding": DecodingConfig(**decoding), "alignment_heads": heads})
