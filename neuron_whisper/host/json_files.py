"""JSON files that others wrote: bounded in size and depth, with two kinds of errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

JSON_LIMIT_BYTES = 32 << 20  # a tokenizer.json of 250,000 tokens has 20 MB


def read_json_file(path: Path, *, limit_bytes: int = JSON_LIMIT_BYTES) -> Any:
    """The file's value. Raises OSError, and ValueError for what is too long, nested too deep, or no JSON."""
    with path.open("rb") as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise ValueError(f"more than {limit_bytes} bytes")
    return parse_json(content)


def parse_json(content: bytes) -> Any:
    """The value of JSON text in UTF-8, with or without a byte order mark. Raises ValueError."""
    try:
        return json.loads(content.decode("utf-8-sig"))
    except (RecursionError, MemoryError) as error:
        raise ValueError(f"nested too deep or too large: {error}") from None
