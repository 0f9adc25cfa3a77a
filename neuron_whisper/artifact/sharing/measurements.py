"""What `bench` measured of an artifact, for its card: rates and times out of a report, without its texts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec

from neuron_whisper.errors import InvalidOption

REPORT_LIMIT_BYTES = 64 << 20

_Rate = Annotated[float, msgspec.Meta(ge=0)] | None


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One system of a report: error rates (1 is 100 %, None where nothing is counted so), and seconds per second.

    `long_form` is the plan; `speech` are the clips' number, seconds and languages, `date` ISO 8601.
    """

    artifact_key: str
    long_form: str
    wer: _Rate
    cer: _Rate
    rtf: Annotated[float, msgspec.Meta(gt=0)]
    clips: Annotated[int, msgspec.Meta(ge=1)]
    audio_s: Annotated[float, msgspec.Meta(gt=0)]
    languages: tuple[str, ...]
    processor: str
    threads: int
    date: str


def read_report(path: Path) -> list[Measurement]:
    """The measurements of artifacts in a report of `bench --json`. Raises InvalidOption for another file."""
    allowed = "a report that `neuron-whisper bench --json` wrote"
    try:
        if path.stat().st_size > REPORT_LIMIT_BYTES:
            raise InvalidOption("--bench", str(path), f"{allowed}; this file is too large")
        report = msgspec.json.decode(path.read_bytes())
        systems = [it for it in report["systems"] if "artifact_key" in it]
        return [_read_system(report, it) for it in systems]
    except OSError as error:
        raise InvalidOption("--bench", str(path), f"a file that can be read ({error.strerror})") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, LookupError, TypeError, AttributeError) as error:
        raise InvalidOption("--bench", str(path), f"{allowed} ({error})") from None


def encode_measurements(measurements: Iterable[Measurement]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(list(measurements)), indent=2) + b"\n"


def decode_measurements(content: bytes) -> list[Measurement]:
    """What encode_measurements wrote; nothing of what it did not write: a card goes without."""
    try:
        return msgspec.json.decode(content, type=list[Measurement])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []


def _read_system(report: dict[str, Any], system: dict[str, Any]) -> Measurement:
    return msgspec.convert(
        {
            "artifact_key": system["artifact_key"],
            "long_form": system["variant"] or "auto",
            "wer": system["wer"]["rate"],
            "cer": system["cer"]["rate"],
            "rtf": system["rtf"],
            "clips": report["speech"]["clips"],
            "audio_s": report["speech"]["audio_s"],
            "languages": report["speech"]["languages"],
            "processor": report["machine"]["processor"],
            "threads": system["threads"],
            "date": report["date"],
        },
        Measurement,
    )
