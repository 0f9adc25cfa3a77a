"""Options of a transcription: what is refused, and the names that the same options have elsewhere."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from neuron_whisper.decode.options import TEMPERATURES, TranscribeOptions
from neuron_whisper.errors import InvalidOption
from neuron_whisper.option_spec import list_option_specs

SPECS = list_option_specs(TranscribeOptions)


def test_every_field_but_the_detectors_is_declared() -> None:
    assert set(TranscribeOptions.__slots__) - set(SPECS) == {"vad"}


def test_every_option_has_help_of_one_sentence_and_a_group() -> None:
    for spec in SPECS.values():
        assert spec.help.endswith("."), spec.name
        assert spec.help[0].isupper(), spec.name
        assert spec.group, spec.name


@pytest.mark.parametrize(
    ("options", "field", "allowed"),
    [
        ({"task": "sing"}, "task", "one of transcribe, translate"),
        ({"long_form": "short"}, "long_form", "one of auto, sequential, batched"),
        ({"chinese_script": "cursive"}, "chinese_script", "one of simplified, traditional"),
        ({"beam_size": 99}, "beam_size", "a whole number from 1 to 16"),
        ({"patience": 2.0}, "patience", "it needs beam_size"),
        ({"patience": 0.1, "beam_size": 2}, "patience", "beam_size times it must be at least 1"),
        ({"temperature": (0.4, 0.2)}, "temperature", "a number from 0 to 1, or several that rise"),
        ({"temperature": ()}, "temperature", "at least one number"),
        ({"logprob_threshold": 0.5}, "logprob_threshold", "a number of at most 0, or none"),
        *(
            (
                {"clip_timestamps": text},
                "clip_timestamps",
                "ascending seconds: start, end, start, end ..., such as 0,12.5",
            )
            for text in ("soon", "2,1", "03,", "-1", "nan", "1e999", b"0")
        ),
        (
            {"clip_timestamps": (2.0, 1.0)},
            "clip_timestamps",
            "ascending seconds: start, end, start, end ..., such as 0,12.5",
        ),
        ({"language": "de", "languages": ("en", "fr")}, "language", "one of languages: en, fr"),
        ({"hallucination_silence_threshold_s": 2.0}, "hallucination_silence_threshold_s", "it needs word_timestamps"),
        ({"vad_filter": "yes"}, "vad_filter", "true or false"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_by_name(options: dict[str, Any], field: str, allowed: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        TranscribeOptions(**options)
    assert (refused.value.field, refused.value.allowed) == (field, allowed)


def test_languages_become_codes_and_a_temperature_a_sequence() -> None:
    options = TranscribeOptions(language="German", languages=["English", "de"], temperature=0.3)  # type: ignore[arg-type]
    assert (options.language, options.languages, options.temperatures) == ("de", ("en", "de"), (0.3,))
    assert TranscribeOptions().temperatures == TEMPERATURES


def parameters_of(package: str, *modules: str) -> set[str]:
    """Names of all parameters and annotated fields in some of a package's modules, which is not imported."""
    found = find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed: that options bear its names is not proved")
    names: set[str] = set()
    for module in modules:
        for node in ast.walk(ast.parse((Path(found.origin).parent / module).read_text(encoding="utf-8"))):
            if isinstance(node, ast.arg):
                names.add(node.arg)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
    return names


def test_names_of_openai_whisper_are_arguments_of_its_transcribe() -> None:
    known = parameters_of("whisper", "transcribe.py", "decoding.py")
    assert {spec.openai_whisper for spec in SPECS.values() if spec.openai_whisper} <= known


def test_names_of_faster_whisper_are_arguments_of_its_transcribe() -> None:
    known = parameters_of("faster_whisper", "transcribe.py")
    assert {spec.faster_whisper for spec in SPECS.values() if spec.faster_whisper} <= known
