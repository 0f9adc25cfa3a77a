"""Transcribes recordings with the installation that runs it, and prints a JSON line for each text.

`python -P transcribe_files.py < job.json`. Imports nothing but `neuron_whisper`, through its public names, so that an
earlier version can run it, too. The job: {"models": [name], "profile": name, "threads": n, "options": {...},
"recordings": [{"file": name, "path": path, "language": code or null}]}.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import neuron_whisper

LONG_FORMS = ("sequential", "batched")
MAX_WORD_TIMES_S = 60.0  # a longer recording is transcribed without word times alone


def transcribe_recording(
    model: neuron_whisper.Model, recording: dict[str, Any], options: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Both long forms without word times, and with them where the recording is short."""
    for long_form in LONG_FORMS:
        for word_timestamps in (False, True):
            setting: dict[str, Any] = {"long_form": long_form, "word_timestamps": word_timestamps}
            try:
                made = model.transcribe(recording["path"], language=recording["language"], **setting, **options)
            except neuron_whisper.NeuronWhisperError as error:
                yield {**setting, "error": f"{type(error).__name__}: {error}"}
                break
            yield {
                **setting,
                "text": made.text,
                "segments": [[round(it.start_s, 2), round(it.end_s, 2)] for it in made.segments],
                "warnings": list(made.warnings),
                "skipped": [[round(it.start_s, 2), round(it.end_s, 2), it.reason] for it in made.skipped],
            }
            if made.duration_s > MAX_WORD_TIMES_S:
                break


def _write_line(value: object) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


def main() -> None:
    job = json.load(sys.stdin)
    _write_line({"version": neuron_whisper.__version__, "package": str(Path(neuron_whisper.__file__).parent)})
    for name in job["models"]:
        with neuron_whisper.load_model(name, profile=job["profile"], threads=job["threads"]) as model:
            for recording in job["recordings"]:
                if recording["language"] not in (None, *model.languages):
                    continue
                for result in transcribe_recording(model, recording, job["options"]):
                    _write_line({"model": name, "file": recording["file"], **result})


if __name__ == "__main__":
    main()
