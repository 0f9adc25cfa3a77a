"""Conversion of Chinese to one script: Whisper writes simplified or traditional characters unpredictably."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import accumulate

from neuron_whisper.errors import InvalidOption

CHINESE_LANGUAGES = frozenset({"zh", "yue"})
OPENCC_CONFIGS = {"simplified": "t2s", "traditional": "s2t"}  # OpenCC's names
SCRIPTS = tuple(OPENCC_CONFIGS)

ScriptConverter = Callable[[str], str]


def check_script(script: str | None) -> None:
    """Raises InvalidOption."""
    if script is not None and script not in SCRIPTS:
        raise InvalidOption("chinese_script", script, f"one of {', '.join(SCRIPTS)}, or none")


@cache
def load_converter(script: str) -> ScriptConverter:
    """Text in either script -> the same in `script`, phrase by phrase, by OpenCC; other text stays as it is.

    Raises InvalidOption for another script, and where OpenCC is not installed.
    """
    check_script(script)
    try:
        from opencc import OpenCC
    except ImportError:
        install = 'it needs OpenCC: pip install "neuron-whisper[chinese]"'
        raise InvalidOption("chinese_script", script, install) from None
    convert: ScriptConverter = OpenCC(OPENCC_CONFIGS[script]).convert
    return convert


def convert_words(words: list[str], convert: ScriptConverter) -> list[str]:
    """The words of a text, cut from its conversion as a whole: ["头", "发"] -> ["頭", "髮"], where 发 alone is 發.

    Where a conversion changes the text's length, each word by itself.
    """
    whole = convert("".join(words))
    if len(whole) != sum(map(len, words)):
        return [convert(word) for word in words]
    ends = list(accumulate(map(len, words)))
    return [whole[end - len(word) : end] for word, end in zip(words, ends, strict=True)]
