"""Profiles and program sizes for tests of the Neuron target."""

from __future__ import annotations

from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.profile import CompileProfile, parse_profile
from neuron_whisper.target.interfaces import ProgramSpec
from neuron_whisper.text.special_tokens import N_TIMESTAMPS, SpecialTokens
from tests.support.tiny_program import DIMS, spec


def make_profile(tp: int, dtype: str = "float32", args: tuple[str, ...] = ()) -> CompileProfile:
    listed = ", ".join(f'"{arg}"' for arg in args)
    return parse_profile(
        f'format = 1\n[target]\nname = "neuron"\ntp = {tp}\ndtype = "{dtype}"\n[weights]\ndtype = "{dtype}"\n'
        f"[compiler]\nargs = [{listed}]"
    )


def make_spec(heads: int, text_tokens: int) -> ProgramSpec:
    """A program of so many heads; its vocabulary is that many tokens of text and the special ones."""
    special = SpecialTokens.from_layout(eot=text_tokens, n_languages=5, blank=7, is_multilingual=True)
    sizes = {name: getattr(DIMS, name) for name in WhisperDims.__dataclass_fields__}
    sizes |= {"n_audio_state": 32 * heads, "n_text_state": 32 * heads, "n_audio_head": heads, "n_text_head": heads}
    sizes |= {"n_vocab": special.timestamp_begin + N_TIMESTAMPS}
    return spec(dims=WhisperDims(**sizes), special=special)
