"""Formats a transcript as a response of OpenAI's API: each response_format, usage and log probabilities."""

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
ENCODER_POSITIONS_PER_S = 50  # a stream's usage is in tokens: audio is counted in encoder positions


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFormatter:
    """Formats the responses to one request. `tokenizer` belongs to the model that transcribed."""

    request: AudioRequest
    tokenizer: Tokenizer

    def format_response(self, transcript: Transcript) -> Response[bytes]:
        """The response in the requested format. Raises InvalidOption where subtitles lack word timestamps."""
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
        """OpenAI's Transcription without `usage`; `warnings` of the file and of ignored fields are an extension."""
        languages = dict.fromkeys(segment.language or transcript.language for segment in transcript.segments)
        body: dict[str, Any] = {"text": transcript.text.strip(), "languages": [{"code": code} for code in languages]}
        if self.request.include_logprobs:
            body["logprobs"] = self.format_logprobs(transcript.segments)
        return body | self._format_warnings(transcript)

    def format_verbose_json(self, transcript: Transcript) -> dict[str, Any]:
        """OpenAI's TranscriptionVerbose without `usage`. As there, the language of a translation is English."""
        body: dict[str, Any] = to_verbose(transcript)
        words = body.pop("words", [])
        if "segment" not in self.request.timestamp_granularities:
            del body["segments"]
        if "word" in self.request.timestamp_granularities:
            body["words"] = words
        return body | self._format_warnings(transcript)

    def format_logprobs(self, segments: Iterable[Segment]) -> list[dict[str, Any]]:
        """Text tokens with their log probabilities; `bytes`, as a token may be a part of a character."""
        return [
            {"token": token_bytes.decode("utf-8", "replace"), "bytes": list(token_bytes), "logprob": logprob}
            for segment in segments
            for token, logprob in zip(segment.tokens, segment.token_logprobs, strict=True)
            if token < self.tokenizer.special.eot
            for token_bytes in (self.tokenizer.decode_single_token_bytes(token),)
        ]

    def format_token_usage(self, transcript: Transcript) -> dict[str, Any]:
        """The usage of a stream, which OpenAI's type counts in tokens: encoder positions, prompt and text."""
        audio = math.ceil(transcript.duration_s * ENCODER_POSITIONS_PER_S)
        prompt = transcript.prompt_tokens
        output = sum(len(segment.tokens) for segment in transcript.segments)
        return {
            "type": "tokens",
            "input_tokens": audio + prompt,
            "output_tokens": output,
            "total_tokens": audio + prompt + output,
            "input_token_details": {"audio_tokens": audio, "text_tokens": prompt},
        }

    def _format_warnings(self, transcript: Transcript) -> dict[str, Any]:
        warnings = [*self.request.warnings, *transcript.warnings]
        return {"warnings": warnings} if warnings else {}
