"""Options of a window: those of its transcription, and what is encoded for it."""

from __future__ import annotations

from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.decode.window_options import create_window_options


def test_a_window_takes_every_option_that_is_not_encoded_for_it() -> None:
    options = TranscribeOptions(
        temperature=(0.0, 0.4), beam_size=3, patience=2.0, seed=7, logprob_threshold=None, word_timestamps=True
    )
    window = create_window_options(
        options,
        language="de",
        prompt=(1,),
        carried_prompt=(),
        prefix=(2,),
        include_prefix=True,
        hotwords=(3,),
        suppress_tokens=frozenset({4}),
    )
    assert (window.temperatures, window.beam_size, window.patience, window.seed) == ((0.0, 0.4), 3, 2.0, 7)
    assert (window.logprob_threshold, window.compression_ratio_threshold) == (None, 2.4)
    assert (window.language, window.prompt, window.suppress_tokens) == ("de", (1,), frozenset({4}))
