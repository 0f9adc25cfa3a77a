"""Parses a form into a request: options of the transcription and of the response."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

from neuron_whisper.decode.language import find_spoken_language
from neuron_whisper.decode.options import TEMPERATURES, TranscribeOptions
from neuron_whisper.errors import InvalidOption
from neuron_whisper.formats.subtitles import SubtitleOptions
from neuron_whisper.option_spec import check_text_length
from neuron_whisper.server.audio.chunking import CHUNKING_FIELD as CHUNKING
from neuron_whisper.server.audio.chunking import ServerVad, fold_bracket_fields
from neuron_whisper.server.audio.fields import NO_DIARIZATION, REQUIREMENTS, AudioForm
from neuron_whisper.server.audio.ignored_fields import list_ignored_fields
from neuron_whisper.server.http.multipart import Form

# options that are set by a form field of another name
_FIELD_OF_OPTION: Mapping[str, str] = {"word_timestamps": "timestamp_granularities"}
FORMATS_WITH_TIMES = ("verbose_json", "srt", "vtt")


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioRequest:
    """A parsed form. `model` None: the default model. `timestamp_granularities`: what verbose_json has times of;
    `word` in it: the times of srt and vtt are those of their words.

    `warnings` name the fields that were ignored.
    """

    model: str | None
    response_format: str
    options: TranscribeOptions
    subtitles: SubtitleOptions
    timestamp_granularities: frozenset[str]
    include_logprobs: bool
    stream: bool
    include_peaks: bool = False
    warnings: tuple[str, ...] = ()
    audio_track: int | str | None = None

    @classmethod
    def from_form(cls, form: Form, endpoint: AudioForm, *, vad_filter: bool = True) -> AudioRequest:
        """Parse and validate a form. Raises InvalidOption with the field's name in the form."""
        texts = fold_bracket_fields(form.texts)
        if texts.get("response_format") == ["diarized_json"]:
            raise InvalidOption("response_format", "diarized_json", f"not supported here: {NO_DIARIZATION}")
        given = {field.name: field.parse(texts) for field in endpoint.fields if field.is_given(texts)}
        for requirement in REQUIREMENTS:
            requirement.check(given)
        response_format = given.get("response_format", "json")
        warnings = [f"{name}: ignored, it changes nothing here" for name in list_ignored_fields(texts, given)]
        granularities = frozenset({"segment"})
        if response_format in FORMATS_WITH_TIMES:
            granularities = frozenset(given.get("timestamp_granularities", granularities))
        elif "timestamp_granularities" in given:
            warnings.append("timestamp_granularities: ignored, it needs response_format=verbose_json, srt or vtt")
        subtitles = SubtitleOptions(
            **{field.name: given[field.name] for field in fields(SubtitleOptions) if field.name in given}
        )
        options = {
            "task": endpoint.task,
            "vad_filter": vad_filter,
            # OpenAI's 0 means temperature fallback: retry at higher temperatures where a threshold rejects a text
            "temperature": given.get("temperature") or TEMPERATURES,
            "word_timestamps": (
                "word" in granularities or subtitles.needs_words or "hallucination_silence_threshold" in given
            ),
            **_chunking_to_options(given.get(CHUNKING)),
            **{field.option: given[field.name] for field in endpoint.fields if field.option and field.name in given},
        }
        if "keywords" in given:
            options["hotwords"] = ", ".join((*filter(None, [given.get("hotwords")]), *given["keywords"]))
            check_text_length("keywords", options["hotwords"])
        with translate_field_names(endpoint):
            return cls(
                model=given.get("model"),
                response_format=response_format,
                options=TranscribeOptions(**options),
                subtitles=subtitles,
                timestamp_granularities=granularities,
                include_logprobs="logprobs" in given.get("include", ()),
                include_peaks="peaks" in given.get("include", ()),
                stream=given.get("stream", False),
                warnings=tuple(warnings),
                audio_track=given.get("audio_track"),
            )

    def get_load_options(self, only_language: str | None) -> dict[str, Any]:
        """Arguments of load_audio; `only_language` is that of a model which knows no other."""
        return {"audio_track": self.audio_track, "language": find_spoken_language(self.options, only_language)}


def _chunking_to_options(strategy: str | ServerVad | None) -> dict[str, Any]:
    """The options that a strategy sets. auto leaves long_form to the clip's length; server_vad needs batched."""
    if strategy is None:
        return {}
    if isinstance(strategy, ServerVad):
        return {"vad_filter": True, "vad": strategy.vad, "long_form": "batched"}
    return {"vad_filter": True}


@contextmanager
def translate_field_names(endpoint: AudioForm) -> Iterator[None]:
    """Re-raise an InvalidOption about an option with the name of the form field that set it."""
    try:
        yield
    except InvalidOption as error:
        names = {**{field.option: field.name for field in endpoint.fields if field.option}, **_FIELD_OF_OPTION}
        if names.get(error.field, error.field) == error.field:
            raise
        raise error.with_field(names[error.field]) from error
