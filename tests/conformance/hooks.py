"""schemathesis hooks: real audio in valid requests, and no value that is valid but not with the model served here."""

from __future__ import annotations

import math
import struct
from typing import Any

import schemathesis
from schemathesis.generation import GenerationMode

from tests.conformance.__main__ import MODEL

# a schema cannot know the loaded model, nor an order between numbers
MODEL_DEPENDENT = ("model", "language", "languages[]", "beam_size", "patience", "suppress_tokens", "chinese_script")
MUTUALLY_DEPENDENT = ("clip_timestamps", "max_line_width", "max_line_count", "max_words_per_line")
SETTINGS_DEPENDENT = ("url", "webhook_url")  # a job's, which need origins that the server allows
# schemathesis does not heed the document's if and then where it makes examples
EXCLUDED_WITH_CHUNKING = ("vad_filter", "long_form")


def make_tone() -> str:
    """0.2 s of one, as a wav without a byte above 127: the tool takes bytes for what the document does not allow."""
    rate, n = 8000, 1600
    samples = bytes(round(64 + 60 * math.sin(0.3 * at)) for at in range(n))
    form = struct.pack("<HHIIHH", 1, 1, rate, rate, 1, 8)
    wav = struct.pack("<4sI4s4sI", b"RIFF", 36 + n, b"WAVE", b"fmt ", len(form)) + form
    return (wav + struct.pack("<4sI", b"data", n) + samples).decode("ascii")


TONE = make_tone()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """A request that is valid by the document is made one that this server must take; in others the file is good."""
    mode = case.meta.generation.mode if case.meta else GenerationMode.POSITIVE
    if not isinstance(case.body, dict):
        return
    if case.operation.path.startswith("/v1/models/"):
        if mode == GenerationMode.POSITIVE:
            case.body = {"model": MODEL}  # a document cannot know what may be loaded
        return
    if mode != GenerationMode.POSITIVE:
        if isinstance(case.body.get("file"), str):  # so that what is wrong is what was made wrong
            case.body = {**case.body, "file": TONE}
        return
    left_out = {*MODEL_DEPENDENT, *MUTUALLY_DEPENDENT, *SETTINGS_DEPENDENT}
    if "chunking_strategy" in case.body:
        left_out.update(EXCLUDED_WITH_CHUNKING)
    # a new one: cases share parts of what they were made of
    case.body = {**{name: value for name, value in case.body.items() if name not in left_out}, "file": TONE}


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """A list of texts that is no list is one by the time it is a form: a field given once."""
    return not isinstance(case.body, dict) or isinstance(case.body.get("keywords[]", []), list)
