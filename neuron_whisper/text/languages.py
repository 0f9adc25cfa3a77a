"""The languages Whisper knows: their codes, their English names, and what people write for them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from types import MappingProxyType

from neuron_whisper.errors import InvalidOption
from neuron_whisper.language_tags import WHISPER_CODES, find_whisper_code

# Code -> English name. The order is the order of the language tokens (openai/whisper tokenizer.py), so it
# is part of the format: a model with n languages knows the first n. Only the large-v3 family has the last.
LANGUAGES: Mapping[str, str] = MappingProxyType(
    {
        "en": "english",
        "zh": "chinese",
        "de": "german",
        "es": "spanish",
        "ru": "russian",
        "ko": "korean",
        "fr": "french",
        "ja": "japanese",
        "pt": "portuguese",
        "tr": "turkish",
        "pl": "polish",
        "ca": "catalan",
        "nl": "dutch",
        "ar": "arabic",
        "sv": "swedish",
        "it": "italian",
        "id": "indonesian",
        "hi": "hindi",
        "fi": "finnish",
        "vi": "vietnamese",
        "he": "hebrew",
        "uk": "ukrainian",
        "el": "greek",
        "ms": "malay",
        "cs": "czech",
        "ro": "romanian",
        "da": "danish",
        "hu": "hungarian",
        "ta": "tamil",
        "no": "norwegian",
        "th": "thai",
        "ur": "urdu",
        "hr": "croatian",
        "bg": "bulgarian",
        "lt": "lithuanian",
        "la": "latin",
        "mi": "maori",
        "ml": "malayalam",
        "cy": "welsh",
        "sk": "slovak",
        "te": "telugu",
        "fa": "persian",
        "lv": "latvian",
        "bn": "bengali",
        "sr": "serbian",
        "az": "azerbaijani",
        "sl": "slovenian",
        "kn": "kannada",
        "et": "estonian",
        "mk": "macedonian",
        "br": "breton",
        "eu": "basque",
        "is": "icelandic",
        "hy": "armenian",
        "ne": "nepali",
        "mn": "mongolian",
        "bs": "bosnian",
        "kk": "kazakh",
        "sq": "albanian",
        "sw": "swahili",
        "gl": "galician",
        "mr": "marathi",
        "pa": "punjabi",
        "si": "sinhala",
        "km": "khmer",
        "sn": "shona",
        "yo": "yoruba",
        "so": "somali",
        "af": "afrikaans",
        "oc": "occitan",
        "ka": "georgian",
        "be": "belarusian",
        "tg": "tajik",
        "sd": "sindhi",
        "gu": "gujarati",
        "am": "amharic",
        "yi": "yiddish",
        "lo": "lao",
        "uz": "uzbek",
        "fo": "faroese",
        "ht": "haitian creole",
        "ps": "pashto",
        "tk": "turkmen",
        "nn": "nynorsk",
        "mt": "maltese",
        "sa": "sanskrit",
        "lb": "luxembourgish",
        "my": "myanmar",
        "bo": "tibetan",
        "tl": "tagalog",
        "mg": "malagasy",
        "as": "assamese",
        "tt": "tatar",
        "haw": "hawaiian",
        "ln": "lingala",
        "ha": "hausa",
        "ba": "bashkir",
        "jw": "javanese",
        "su": "sundanese",
        "yue": "cantonese",
    }
)

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "burmese": "my",
        "valencian": "ca",
        "flemish": "nl",
        "haitian": "ht",
        "letzeburgesch": "lb",
        "pushto": "ps",
        "panjabi": "pa",
        "moldavian": "ro",
        "moldovan": "ro",
        "sinhalese": "si",
        "castilian": "es",
        "mandarin": "zh",
        "mandarin chinese": "zh",
        "simplified chinese": "zh",
        "traditional chinese": "zh",
        "brazilian portuguese": "pt",
        "farsi": "fa",
        "filipino": "tl",
        "bangla": "bn",
        "slovene": "sl",
        "modern greek": "el",
        "norwegian bokmål": "no",
        "norwegian bokmal": "no",
        "bokmål": "no",
        "norwegian nynorsk": "nn",
    }
)

DETECTED = frozenset({"", "auto", "und"})  # what clients send for a language that is not known
NO_SPACE_LANGUAGES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})  # written without spaces between words

_CODE_BY_NAME = MappingProxyType({name: code for code, name in LANGUAGES.items()})


def parse_language(text: str) -> str | None:
    """The code of a language as `to_language_code` gives it; None for "", "auto" and "und": it is to be detected."""
    return None if text.strip().lower() in DETECTED else to_language_code(text)


def to_language_code(text: str) -> str:
    """The code of a language given as an ISO 639 code, an English name, an alias or a language tag, in any case.

    "EN" -> "en", "deu" -> "de", "Japanese" -> "ja", "Chinese (Taiwan)" -> "zh", "pt-BR" -> "pt", "zh_CN.UTF-8" -> "zh",
    "zh-yue" -> "yue". Raises InvalidOption, with the closest names, when it is none of them.
    """
    name = " ".join(text.lower().split())
    plain = re.fullmatch(r"(.*?)\s*(\([^()]*\)|\.[a-z0-9-]+|@[a-z]+)?", name, re.DOTALL)
    for spelled in (name, plain[1] if plain else name):  # without a region in brackets, or a locale's encoding
        for table in (_CODE_BY_NAME, ALIASES, WHISPER_CODES):
            if spelled in table:
                return table[spelled]
        if (code := _find_tag(spelled)) is not None:
            return code
    raise InvalidOption("language", text, _describe_allowed(name))


def _find_tag(tag: str) -> str | None:
    """The code of a BCP 47 language tag, or of a code alone: its region and script make no difference."""
    _, *subtags = re.split("[-_]", tag)
    return find_whisper_code(tag) if all(re.fullmatch("[a-z0-9]{1,8}", subtag) for subtag in subtags) else None


def _describe_allowed(name: str) -> str:
    known = [*LANGUAGES, *_CODE_BY_NAME, *ALIASES]
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"close to it: {', '.join(close)}; " if close else ""
    return f"{hint}it is a code such as 'en' or 'ja', or an English name such as 'japanese'"
