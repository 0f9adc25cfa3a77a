"""Text files that people write with any editor: UTF-8 with or without a byte order mark, UTF-16 with one."""

from __future__ import annotations

import codecs

# UTF-32's little-endian mark begins with UTF-16's
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode_text(content: bytes) -> str:
    """The text of a file, without its byte order mark. Raises UnicodeDecodeError.

    b"\\xef\\xbb\\xbfport = 1" -> "port = 1"; so does the UTF-16 that PowerShell writes.
    """
    encoding = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "utf-8")
    return content.decode(encoding)
