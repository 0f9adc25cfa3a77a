"""Fields of other APIs that clients send and that change nothing here: they are ignored, and a warning says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

FALSE = ("false", "0")
# field -> the values with which it means nothing here, none: any value
IGNORED_FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "metadata": (),
        "user": (),
        "diarize": FALSE,
        "diarization": FALSE,
        "speaker_labels": FALSE,
        "speaker_diarization": FALSE,
        "word_timestamps": FALSE,
        "use_beam_search": FALSE,
        "stream_include_usage": FALSE,
        "n": ("1",),
        "top_p": ("1", "1.0"),
        "frequency_penalty": ("0", "0.0"),
        "presence_penalty": ("0", "0.0"),
        "repetition_penalty": ("1", "1.0"),
    }
)
TASK_FIELD = "task"


def is_ignored(name: str, value: str, task: str) -> bool:
    """Whether a field with this value means nothing at the endpoint of `task`; any field whose value is blank."""
    if not value.strip():
        return True
    bare_name = get_bare_name(name)
    if bare_name == TASK_FIELD:
        return value.strip().lower() == task
    values = IGNORED_FIELDS.get(bare_name)
    return values is not None and (not values or value.strip().lower() in values)


def list_ignored_fields(texts: Mapping[str, Iterable[str]], known: Iterable[str]) -> list[str]:
    """The fields of a form that were sent and are ignored, without brackets, each once."""
    names = {get_bare_name(name) for name, values in texts.items() if any(value.strip() for value in values)}
    return [name for name in (*IGNORED_FIELDS, TASK_FIELD) if name in names.difference(known)]


def get_bare_name(name: str) -> str:
    """ "metadata[user]" -> "metadata" """
    return name.partition("[")[0]
