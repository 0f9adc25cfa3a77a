"""Examples of requests and responses of the audio routes, for the OpenAPI document: name -> (summary, value)."""

from __future__ import annotations

from neuron_whisper.server.http.openapi import Examples

# --- requests -------------------------------------------------------------------------------------

UPLOAD_EXAMPLE = "(the bytes of the file)"
REQUEST_EXAMPLES: Examples = {
    "transcript": ("Text only", {"file": UPLOAD_EXAMPLE, "model": "whisper-1"}),
    "words": (
        "Timestamps of words and segments",
        {
            "file": UPLOAD_EXAMPLE,
            "model": "whisper-1",
            "language": "en",
            "response_format": "verbose_json",
            "timestamp_granularities[]": ["word", "segment"],
        },
    ),
    "stream": ("Segments as they are finished", {"file": UPLOAD_EXAMPLE, "model": "whisper-1", "stream": True}),
    "subtitles": (
        "Subtitles of two lines",
        {"file": UPLOAD_EXAMPLE, "response_format": "srt", "max_line_width": 42, "max_line_count": 2},
    ),
    "careful": (
        "Keywords, and pauses at which audio is cut",
        {
            "file": UPLOAD_EXAMPLE,
            "keywords[]": ["Nakamura"],
            "chunking_strategy": {"type": "server_vad", "silence_duration_ms": 700},
            "compression_ratio_threshold": 2.2,
        },
    ),
}

# --- responses ------------------------------------------------------------------------------------

EXAMPLE_TEXT = "And so, my fellow Americans, ask not what your country can do for you."
SEGMENT_EXAMPLE = {
    "id": 0,
    "seek": 0,
    "start": 0.0,
    "end": 10.4,
    "text": f" {EXAMPLE_TEXT}",
    "tokens": [50363, 843, 523, 11, 50883],
    "temperature": 0.0,
    "avg_logprob": -0.24,
    "compression_ratio": 1.28,
    "no_speech_prob": 0.01,
    "language": "english",
}
VERBOSE_EXAMPLE = {"task": "transcribe", "language": "english", "duration": 11.0, "text": EXAMPLE_TEXT}
USAGE_EXAMPLE = {"type": "duration", "seconds": 11}
WORDS_EXAMPLE = [
    {"word": "And", "start": 0.32, "end": 0.6, "probability": 0.7312},
    {"word": "so,", "start": 0.6, "end": 0.92, "probability": 0.9808},
]
JSON_EXAMPLES: Examples = {
    "json": ("response_format=json", {"text": EXAMPLE_TEXT, "languages": [{"code": "en"}], "usage": USAGE_EXAMPLE}),
    "logprobs": (
        "response_format=json, include[]=logprobs",
        {
            "text": "And so",
            "languages": [{"code": "en"}],
            "usage": USAGE_EXAMPLE,
            "logprobs": [
                {"token": " And", "bytes": [32, 65, 110, 100], "logprob": -0.31},
                {"token": " so", "bytes": [32, 115, 111], "logprob": -0.02},
            ],
        },
    ),
    "verbose_json": (
        "response_format=verbose_json",
        {**VERBOSE_EXAMPLE, "segments": [SEGMENT_EXAMPLE], "usage": USAGE_EXAMPLE},
    ),
    "words": (
        "response_format=verbose_json, timestamp_granularities[]=word",
        {**VERBOSE_EXAMPLE, "words": WORDS_EXAMPLE, "usage": USAGE_EXAMPLE},
    ),
}
TEXT_EXAMPLES: Examples = {
    "text": ("response_format=text", f"{EXAMPLE_TEXT}\n"),
    "srt": ("response_format=srt", f"1\n00:00:00,000 --> 00:00:10,400\n{EXAMPLE_TEXT}\n\n"),
}
VTT_EXAMPLES: Examples = {
    "vtt": ("response_format=vtt", f"WEBVTT\n\n00:00.000 --> 00:10.400\n{EXAMPLE_TEXT}\n\n"),
}
EVENT_EXAMPLES: Examples = {
    "stream": (
        "stream=true: an event for each segment, then one for the whole; a failure on the way is the last event",
        'data: {"type":"transcript.text.delta","delta":"And so, my fellow Americans,"}\n\n'
        'data: {"type":"transcript.text.delta","delta":" ask not what your country can do for you."}\n\n'
        f'data: {{"type":"transcript.text.done","text":"{EXAMPLE_TEXT}","languages":[{{"code":"en"}}],'
        '"usage":{"type":"tokens","input_tokens":550,"output_tokens":26,"total_tokens":576,'
        '"input_token_details":{"audio_tokens":550,"text_tokens":0}}}\n\n',
    ),
}
