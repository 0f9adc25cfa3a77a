"""The server's settings."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.config.loader import LoadedSettings, load_settings
from neuron_whisper.server.config.schema import list_setting_specs
from neuron_whisper.server.config.settings import COMPAT_DEFAULTS, ServerSettings

SPECS = list_setting_specs(ServerSettings)


def test_every_setting_has_a_help_text_a_flag_of_its_own_and_a_range() -> None:
    assert all(spec.description.endswith(".") for spec in SPECS.values())
    assert len({spec.flag for spec in SPECS.values()}) == len(SPECS)
    assert all(spec.range is not None for spec in SPECS.values() if spec.value_type in (int, float))


def test_printed_defaults_are_the_defaults(tmp_path: Path) -> None:
    printed = load_settings(ServerSettings, flags={}, environment={}).to_toml()
    file = tmp_path / "serve.toml"
    file.write_text(printed)
    assert tomllib.loads(printed).keys() <= SPECS.keys()
    assert load_settings(ServerSettings, flags={}, environment={}, file=file).settings == ServerSettings()


def test_models_and_artifacts_come_from_the_environment_and_the_file(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('model = "base"\nartifact = ["a", "b"]\n')
    settings = load_settings(ServerSettings, flags={}, environment={}, file=file).settings
    assert (settings.model, settings.artifact) == (("base",), ("a", "b"))
    environment = {"NEURON_WHISPER_MODEL": "turbo,small", "NEURON_WHISPER_REPLICAS": "2"}
    settings = load_settings(ServerSettings, flags={}, environment=environment, file=file).settings
    assert (settings.model, settings.artifact, settings.replicas) == (("turbo", "small"), ("a", "b"), 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": ""},
        {"cors_origins": ("https://app.example.com/path",)},
        {"otlp_endpoint": "collector:4318"},
        {"forwarded_allow_ips": ("proxy.local",)},
        {"root_path": "speech"},
        {"root_path": "/speech/"},
        {"aliases": ("whisper-1",)},
        {"max_requests": 0},
        {"preload": "some"},
    ],
)
def test_an_invalid_setting_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption) as caught:
        ServerSettings(**wrong)
    assert [caught.value.field] == list(wrong)


def test_a_job_may_decode_as_many_bytes_per_second_as_a_request() -> None:
    settings = ServerSettings(max_audio_s=100, max_decoded_bytes=1000, jobs_max_audio_s=300)
    assert settings.audio_limits.max_decoded_bytes == 1000
    assert settings.job_limits.max_decoded_bytes == 3000
    assert settings.job_limits.seconds_setting == "--jobs-max-audio-s"
    assert settings.audio_limits.seconds_setting == "--max-audio-s"


def test_sagemaker_brings_its_port_and_times_and_what_is_given_wins() -> None:
    def load(flags: dict[str, str], environment: dict[str, str]) -> LoadedSettings[ServerSettings]:
        return load_settings(ServerSettings, flags=flags, environment=environment, defaults_by_compat=COMPAT_DEFAULTS)

    loaded = load({}, {"NEURON_WHISPER_COMPAT": "sagemaker", "NEURON_WHISPER_REQUEST_TIMEOUT_S": "3600"})
    settings = loaded.settings
    assert (settings.host, settings.port, settings.drain_s, settings.request_timeout_s) == ("0.0.0.0", 8080, 25, 3600)
    assert loaded.sources["port"] == "default with compat = sagemaker"
    assert load({"compat": "sagemaker", "port": "8000"}, {}).settings.port == 8000
    assert load({"compat": "none"}, {}).settings == ServerSettings() == load({}, {}).settings
    with pytest.raises(InvalidOption, match="compat"):
        load({"compat": "vertex"}, {})
