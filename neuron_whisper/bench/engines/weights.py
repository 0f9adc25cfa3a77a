"""Converts a checkpoint to the format that a peer reads, once, so that every system has the same weights."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neuron_whisper.bench.engines.ggml import FILE_TYPES, write_ggml
from neuron_whisper.bench.engines.huggingface_export import EXPORTED_FILES, write_huggingface
from neuron_whisper.bench.process.client import build_worker_environment
from neuron_whisper.errors import CheckpointError, TargetUnavailable
from neuron_whisper.model.checkpoint import Checkpoint

STDERR_TAIL_LINES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsConverter:
    """Keeps a checkpoint's converted weights under `directory`; `digest_cache` remembers sha256 digests.

    `toolchain` are the versions with which the weights are compiled, for a format that is compiled.
    """

    checkpoint: Checkpoint
    directory: Path
    digest_cache: Path | None = None
    toolchain: Mapping[str, str] = field(default_factory=dict)
    log: Callable[[str], None] = lambda line: None

    def locate_or_convert(self, weights_format: str, variant: str, python: str) -> Path:
        """Path of the weights: the checkpoint itself if it has the format, else converted, if need be by `python`.

        Formats are ctranslate2, openai, huggingface, and genai, ggml and nxdi, whose variants are files of their own.
        Raises TargetUnavailable, with the end of the converter's log.
        """
        unconverted = self._find_unconverted(weights_format)
        if unconverted is not None:
            return unconverted
        name = self._name_files(weights_format, variant)
        converted = self.directory / f"{self._key}-{name}"
        if not converted.exists():
            self.log(f"converting the weights: {name}")
            started = time.perf_counter()
            self.directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.directory, prefix=".") as scratch:
                self._convert_into(weights_format, variant, python, Path(scratch))
                (Path(scratch) / "converted").rename(converted)
            if weights_format == "nxdi":
                self.log(f"compiled in {time.perf_counter() - started:.1f} s")
        return converted / {"openai": "model.pt", "ggml": "model.bin"}.get(weights_format, "")

    def _name_files(self, weights_format: str, variant: str) -> str:
        """ "ctranslate2", "ggml-q8_0", "nxdi-float16-tp2-0123abcd": what decides the files beside the weights."""
        match weights_format:
            case "ggml":
                return f"{weights_format}-{variant}"
            case "genai" if variant == "int8":
                return f"{weights_format}-{variant}"
            case "nxdi":
                versions = json.dumps(dict(self.toolchain), sort_keys=True).encode()
                return f"{weights_format}-{variant}-{hashlib.sha256(versions).hexdigest()[:8]}"
            case _:
                return weights_format

    @property
    def _key(self) -> str:
        facts = json.dumps(self.checkpoint.compute_digests(self.digest_cache), sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()[:16]

    def _find_unconverted(self, weights_format: str) -> Path | None:
        path, kind = self.checkpoint.path, self.checkpoint.format
        if weights_format != kind:
            return None
        if weights_format == "ctranslate2" and not (path / "model.bin").exists():  # in parts, which it does not read
            return None
        if weights_format == "huggingface" and not all((path / name).exists() for name in EXPORTED_FILES):
            return None
        return path

    def _convert_into(self, weights_format: str, variant: str, python: str, scratch: Path) -> None:
        """Convert into scratch/converted. Raises CheckpointError for a model that peers would read as another."""
        if self.checkpoint.has_own_projection:
            raise CheckpointError(
                self.checkpoint.path, "", expected="an output projection that is the token embedding", found="another"
            )
        converted = scratch / "converted"
        converted.mkdir()
        match weights_format:
            case "ggml":
                assert variant in FILE_TYPES, variant
                write_ggml(self.checkpoint, variant, converted / "model.bin")
            case "huggingface":
                write_huggingface(self.checkpoint, converted)
            case "ctranslate2" if self.checkpoint.format == "ctranslate2":
                self._join_parts(converted)
            case "openai":
                source = scratch / "weights.npz"
                arrays: dict[str, np.ndarray[Any, Any]] = {
                    name: np.asarray(self.checkpoint.tensor(name)) for name in self.checkpoint.parameter_names
                }
                arrays["dims"] = np.array(json.dumps(asdict(self.checkpoint.dims)))
                np.savez(source, allow_pickle=False, **arrays)
                self._run_converter(weights_format, source, converted / "model.pt", python, scratch)
            case _:
                exported = self.locate_or_convert("huggingface", "", python)
                own_variant = (variant,) if weights_format in ("nxdi", "genai") else ()
                self._run_converter(weights_format, exported, converted, python, scratch, *own_variant)

    def _join_parts(self, converted: Path) -> None:
        for file in self.checkpoint.path.iterdir():
            if not file.name.startswith("model.bin"):
                shutil.copyfile(file, converted / file.name)
        with (converted / "model.bin").open("wb") as joined:
            for part in self.checkpoint.files:
                with part.open("rb") as piece:
                    shutil.copyfileobj(piece, joined)

    def _run_converter(
        self, weights_format: str, source: Path, destination: Path, python: str, scratch: Path, *options: str
    ) -> None:
        command = [
            python,
            "-P",
            "-m",
            "neuron_whisper.bench.engines.peer_converters",
            weights_format,
            str(source),
            str(destination),
            *options,
        ]
        done = subprocess.run(  # noqa: S603 - this package, in a python that the user named
            command,
            env=build_worker_environment(scratch, 0, python),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            log_lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            raise TargetUnavailable(
                weights_format, f"its weights cannot be converted: {' / '.join(log_lines[-STDERR_TAIL_LINES:])}"
            )
