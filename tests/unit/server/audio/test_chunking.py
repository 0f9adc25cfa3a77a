"""The field chunking_strategy."""

from __future__ import annotations

import pytest

from neuron_whisper.decode.options import DEFAULT_VAD
from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.audio.fields import TRANSCRIPTIONS
from neuron_whisper.server.audio.request import AudioRequest
from neuron_whisper.server.http.multipart import Form


@pytest.mark.parametrize("text", ["auto", '"auto"'])
def test_auto_turns_vad_on(text: str) -> None:
    options = AudioRequest.from_form(
        Form(texts={"chunking_strategy": [text]}), TRANSCRIPTIONS, vad_filter=False
    ).options
    assert (options.vad_filter, options.long_form, options.vad) == (True, "auto", DEFAULT_VAD)


@pytest.mark.parametrize(
    "texts",
    [
        {"chunking_strategy": ['{"type": "server_vad", "threshold": 0.7, "silence_duration_ms": 300}']},
        {
            "chunking_strategy[type]": ["server_vad"],
            "chunking_strategy[threshold]": ["0.7"],
            "chunking_strategy[silence_duration_ms]": ["300"],
        },
    ],
)
def test_server_vad_sets_vad_options_as_json_and_as_fields(texts: dict[str, list[str]]) -> None:
    options = AudioRequest.from_form(Form(texts=texts), TRANSCRIPTIONS, vad_filter=False).options
    assert (options.vad_filter, options.long_form) == (True, "batched")
    assert (options.vad.threshold, options.vad.min_silence_duration_ms) == (0.7, 300)
    assert options.vad.speech_pad_ms == DEFAULT_VAD.speech_pad_ms, "what was not given stays"


@pytest.mark.parametrize(
    "texts",
    [
        {"chunking_strategy": ["manual"]},
        {"chunking_strategy": ['{"type": "semantic_vad"}']},
        {"chunking_strategy": ['{"type": "server_vad", "threshold": 2}']},
        {"chunking_strategy": ['{"type": "server_vad", "eagerness": "low"}']},
        {"chunking_strategy": ['{"type": "server_vad", "silence_duration_ms": null}']},
        {"chunking_strategy": ['{"type": "server_vad", "silence_duration_ms": "300"}']},
        {"chunking_strategy": ["[]"]},
        {"chunking_strategy": ["auto", "auto"]},
        {"chunking_strategy": ["auto"], "chunking_strategy[type]": ["server_vad"]},
        {"chunking_strategy[prefix_padding_ms]": ["-1"]},
        {"chunking_strategy[prefix_padding_ms]": ["300", "300"]},
        {"chunking_strategy[type]": ["server_vad"], "chunking_strategy[colour]": ["red"]},
        {"chunking_strategy": ['{"threshold": 0.5}']},
        {"chunking_strategy": ["auto"], "vad_filter": ["false"]},
        {"chunking_strategy": ["auto"], "long_form": ["sequential"]},
    ],
)
def test_an_invalid_strategy_is_rejected_by_name(texts: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidOption) as caught:
        AudioRequest.from_form(Form(texts=texts), TRANSCRIPTIONS)
    assert caught.value.field == "chunking_strategy"
