"""A model's name -> its dimensions, with nothing downloaded."""

from __future__ import annotations

from pathlib import Path

from neuron_whisper.errors import CheckpointError, UnknownModel
from neuron_whisper.host.home import expand_home
from neuron_whisper.host.json_files import read_json_file
from neuron_whisper.model.catalogue import CATALOGUE
from neuron_whisper.model.checkpoint import detect_format, open_checkpoint
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.huggingface import ADAPTER_CONFIG
from neuron_whisper.model.parameters import check_dims
from neuron_whisper.model.published_dims import PUBLISHED_DIMS


def find_dims(name: str) -> WhisperDims:
    """Of a checkpoint's path, a Hugging Face config.json or its directory, a short name, or a catalogued hub id.

    Nothing is downloaded. Raises UnknownModel, CheckpointError.
    """
    path = expand_home(name)
    if detect_format(path) is not None or (path / ADAPTER_CONFIG).is_file():
        return open_checkpoint(path).dims
    config = path / "config.json" if path.is_dir() else path
    if config.suffix == ".json" and config.is_file():
        return _read_config_dims(config)
    if name in CATALOGUE:
        return PUBLISHED_DIMS[CATALOGUE[name].name]
    for entry in CATALOGUE.values():
        if entry.hub_id == name.partition("@")[0]:
            return PUBLISHED_DIMS[entry.name]
    raise UnknownModel(name, CATALOGUE, "the path of a checkpoint or of its config.json will do too")


def _read_config_dims(config: Path) -> WhisperDims:
    try:
        found = read_json_file(config)
    except (OSError, ValueError) as error:
        raise CheckpointError(config, "", expected="readable JSON", found=error) from error
    try:
        return check_dims(WhisperDims.from_hf_config(found), config)
    except KeyError as error:
        raise CheckpointError(config, "", expected=f"a field {error}", found="none") from error
    except TypeError as error:
        raise CheckpointError(config, "", expected="a JSON object", found=type(found).__name__) from error
