"""schemathesis hooks: valid requests get real audio, and no values that only this model or these settings refuse."""

from __future__ import annotations

import math
import struct
from typing import Any

import schemathesis
from schemathesis.generation import GenerationMode

from tests.conformance.__main__ import MODEL

# a schema knows neither the loaded model nor relations between values
MODEL_DEPENDENT = ("model", "language", "languages[]", "beam_size", "patience", "suppress_tokens", "chinese_script")
MUTUALLY_DEPENDENT = ("clip_timestamps", "max_line_width", "max_line_count", "max_words_per_line", "highlight_words")
FILE_DEPENDENT = ("audio_track",)
SETTINGS_DEPENDENT = ("url", "webhook_url")  # of jobs; they need allowed origins
# schemathesis ignores the if and then of the document when it generates examples
EXCLUDED_WITH_CHUNKING = ("vad_filter", "long_form")


def make_tone() -> str:
    """A wav of a 0.2 s tone without a byte above 127: the tool allows text only for the file field."""
    rate, n = 8000, 1600
    samples = bytes(round(64 + 60 * math.sin(0.3 * at)) for at in range(n))
    form = struct.pack("<HHIIHH", 1, 1, rate, rate, 1, 8)
    wav = struct.pack("<4sI4s4sI", b"RIFF", 36 + n, b"WAVE", b"fmt ", len(form)) + form
    return (wav + struct.pack("<4sI", b"data", n) + samples).decode("ascii")


TONE = make_tone()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Make a request that is valid by the document valid for this server, too; give invalid ones a valid file."""
    mode = case.meta.generation.mode if case.meta else GenerationMode.POSITIVE
    if not isinstance(case.body, dict):
        return
    if case.operation.path.startswith("/v1/models/"):
        if mode == GenerationMode.POSITIVE:
            case.body = {"model": MODEL}  # the document does not know which models may be loaded
        return
    if mode != GenerationMode.POSITIVE:
        if isinstance(case.body.get("file"), str):  # so that only the generated defect is wrong
            case.body = {**case.body, "file": TONE}
        return
    excluded = {*MODEL_DEPENDENT, *MUTUALLY_DEPENDENT, *FILE_DEPENDENT, *SETTINGS_DEPENDENT}
    if "chunking_strategy" in case.body:
        excluded.update(EXCLUDED_WITH_CHUNKING)
    # a new dict: cases share their parts
    case.body = {**{name: value for name, value in case.body.items() if name not in excluded}, "file": TONE}


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Skip a keywords[] that is no list, in a form a valid field given once, and blank values, which are no fields."""
    if not isinstance(case.body, dict):
        return True
    is_blank = any(isinstance(value, str) and not value.strip() for value in case.body.values())
    return not is_blank and isinstance(case.body.get("keywords[]", []), list)
