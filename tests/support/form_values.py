"""For each decoding field of a form: a text, the option that it sets, and the value."""

from __future__ import annotations

OPTIONS: dict[str, tuple[str, str, object]] = {
    "language": ("German", "language", "de"),
    "languages": ("en", "languages", ("en",)),
    "prompt": ("Names: Nakamura", "initial_prompt", "Names: Nakamura"),
    "temperature": ("0.4", "temperature", (0.4,)),
    "beam_size": ("5", "beam_size", 5),
    "best_of": ("3", "best_of", 3),
    "length_penalty": ("0.6", "length_penalty", 0.6),
    "seed": (str(2**63 - 1), "seed", 2**63 - 1),
    "hotwords": ("ORT, NEFF", "hotwords", "ORT, NEFF"),
    "keywords": ("Nakamura", "hotwords", "Nakamura"),
    "prefix": ("And so", "prefix", "And so"),
    "carry_initial_prompt": ("true", "carry_initial_prompt", True),
    "condition_on_previous_text": ("false", "condition_on_previous_text", False),
    "compression_ratio_threshold": ("1.8", "compression_ratio_threshold", 1.8),
    "logprob_threshold": ("-0.5", "logprob_threshold", -0.5),
    "no_speech_threshold": ("none", "no_speech_threshold", None),
    "repetition_cut": ("false", "repetition_cut", False),
    "hallucination_silence_threshold": ("2", "hallucination_silence_threshold_s", 2.0),
    "max_new_tokens": ("20", "max_new_tokens", 20),
    "without_timestamps": ("true", "without_timestamps", True),
    "max_initial_timestamp": ("3.5", "max_initial_timestamp_s", 3.5),
    "suppress_tokens": ("-1,50", "suppress_tokens", (-1, 50)),
    "suppress_blank": ("False", "suppress_blank", False),
    "clip_timestamps": ("0.5,2,7", "clip_timestamps", (0.5, 2.0, 7.0)),
    "multilingual": ("true", "multilingual", True),
    "chinese_script": ("traditional", "chinese_script", "traditional"),
    "vad_filter": ("false", "vad_filter", False),
    "long_form": ("batched", "long_form", "batched"),
}
