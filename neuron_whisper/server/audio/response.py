"""A transcript as OpenAI's API answers it: the body of each response format, usage and log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Response

from neuron_whisper.formats.render import render, render_text, to_verbose
from neuron_whisper.server.audio.request import AudioRequest
from neuron_whisper.text.tokenizer import Tokenizer
from neuron_whisper.transcript import Segment, Transcript

MEDIA_TYPES: Mapping[str, str] = {"text": "text/plain", "srt": "text/plain", "vtt": "text/vtt"}
ENCODER_POSITIONS_PER_S = 50  # of the encoder: a stream's usage counts audio in them, as it must count tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFormatter:
    """One request's answers. `tokenizer` is that of the model which transcribed."""

    request: AudioRequest
    tokenizer: Tokenizer

    def format_response(self, transcript: Transcript) -> Response[bytes]:
        """The transcript in the form that was asked for. Raises InvalidOption where subtitles lack word times."""
        name = self.request.response_format
        if name in MEDIA_TYPES:
            text = (
                render_text(transcript) + "\n" if name == "text" else render(transcript, name, self.request.subtitles)
            )
            return Response(text.encode(), media_type=MEDIA_TYPES[name])  # Litestar adds the charset
        body = self.format_verbose_json(transcript) if name == "verbose_json" else self.format_json(transcript)
        body["usage"] = {"type": "duration", "seconds": math.ceil(transcript.duration_s)}
        return Response(msgspec.json.encode(body), media_type="application/json")

    def format_json(self, transcript: Transcript) -> dict[str, Any]:
        """OpenAI's Transcription without its usage; a damaged file's `warnings` beyond it."""
        heard = dict.fromkeys(segment.language or transcript.language for segment in transcript.segments)
        body: dict[str, Any] = {"text": transcript.text.strip(), "languages": [{"code": code} for code in heard]}
        if self.request.include_logprobs:
            body["logprobs"] = self.format_logprobs(transcript.segments)
        return body | _format_warnings(transcript)

    def format_verbose_json(self, transcript: Transcript) -> dict[str, Any]:
        """OpenAI's TranscriptionVerbose without its usage. A translation's language is English, as OpenAI says it."""
        body: dict[str, Any] = to_verbose(transcript)
        if transcript.task == "translate":
            body |= {"language": "english", "source_language": body["language"]}
        words = body.pop("words", [])
        if "segment" not in self.request.timestamp_granularities:
            del body["segments"]
        if "word" in self.request.timestamp_granularities:
            body["words"] = words
        return body | _format_warnings(transcript)

    def format_logprobs(self, segments: Iterable[Segment]) -> list[dict[str, Any]]:
        """Text tokens and how likely each was; `bytes` tell the tokens that are a part of a character."""
        return [
            {"token": spelled.decode("utf-8", "replace"), "bytes": list(spelled), "logprob": logprob}
            for segment in segments
            for token, logprob in zip(segment.tokens, segment.token_logprobs, strict=True)
            if token < self.tokenizer.special.eot
            for spelled in (self.tokenizer.decode_single_token_bytes(token),)
        ]

    def format_token_usage(self, transcript: Transcript) -> dict[str, Any]:
        """The usage of a stream, which OpenAI's type wants in tokens: encoder positions, prompt, and what was said."""
        audio = math.ceil(transcript.duration_s * ENCODER_POSITIONS_PER_S)
        prompt = len(self.tokenizer.encode(self.request.options.initial_prompt or ""))
        said = sum(len(segment.tokens) for segment in transcript.segments)
        return {
            "type": "tokens",
            "input_tokens": audio + prompt,
            "output_tokens": said,
            "total_tokens": audio + prompt + said,
            "input_token_details": {"audio_tokens": audio, "text_tokens": prompt},
        }


def _format_warnings(transcript: Transcript) -> dict[str, Any]:
    return {"warnings": transcript.warnings} if transcript.warnings else {}
