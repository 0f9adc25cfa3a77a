"""Where settings come from: flags, variables, a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from neuron_whisper.errors import InvalidOption, UnknownOption
from neuron_whisper.server.config.loader import load_settings
from tests.unit.server.config.test_schema import SPECS, Sample


def write_toml(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "serve.toml"
    file.write_text(text)
    return file


def test_flags_override_variables_and_variables_the_file(tmp_path: Path) -> None:
    file = write_toml(tmp_path, "port = 3\nwait_s = 3\nis_on = true\n")
    environment = {"NEURON_WHISPER_PORT": "2", "NEURON_WHISPER_WAIT_S": "2"}
    loaded = load_settings(Sample, flags={"port": "1"}, environment=environment, file=file)
    assert (loaded.settings.port, loaded.settings.wait_s, loaded.settings.is_on) == (1, 2.0, True)
    assert [loaded.sources[name] for name in ("port", "wait_s", "is_on", "mode")] == [
        "--port",
        "NEURON_WHISPER_WAIT_S",
        str(file),
        "default",
    ]


@pytest.mark.parametrize(("mark", "encoding"), [(b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le")])
def test_a_byte_order_mark_before_the_settings_is_skipped(tmp_path: Path, mark: bytes, encoding: str) -> None:
    file = tmp_path / "serve.toml"
    file.write_bytes(mark + "port = 81\r\n".encode(encoding))
    assert load_settings(Sample, flags={}, environment={}, file=file).settings.port == 81


def test_flags_variables_and_file_give_the_same_values(tmp_path: Path) -> None:
    text = {
        "name": "n",
        "key": "k",
        "mode": "slow",
        "port": "7",
        "max_bytes": "2MB",
        "wait_s": "2",
        "is_on": "yes",
        "where": "/x",
        "origins": "a, b",
    }
    file = write_toml(
        tmp_path,
        'name="n"\nkey="k"\nmode="slow"\nport=7\nmax_bytes="2MB"\nwait_s=2\nis_on=true\nwhere="/x"\norigins=["a","b"]',
    )
    from_flags = load_settings(Sample, flags=text, environment={}).settings
    environment = {f"NEURON_WHISPER_{name.upper()}": value for name, value in text.items()}
    assert from_flags == load_settings(Sample, flags={}, environment=environment).settings
    assert from_flags == load_settings(Sample, flags={}, environment={}, file=file).settings


@pytest.mark.parametrize(
    ("flags", "environment", "source"),
    [({"port": "0"}, {}, "--port"), ({}, {"NEURON_WHISPER_PORT": "0"}, "NEURON_WHISPER_PORT")],
)
def test_an_error_names_field_value_and_source(flags: dict[str, str], environment: dict[str, str], source: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        load_settings(Sample, flags=flags, environment=environment)
    assert (caught.value.field, caught.value.value) == ("port", "0")
    assert caught.value.allowed == f"{SPECS['port'].allowed_values} (from {source})"


def test_an_unknown_key_suggests_the_known_one(tmp_path: Path) -> None:
    with pytest.raises(UnknownOption) as caught:
        load_settings(Sample, flags={}, environment={}, file=write_toml(tmp_path, "prot = 80"))
    assert caught.value.field == "prot"
    assert "port" in caught.value.allowed


@pytest.mark.parametrize("text", ["port =", "port = 1\nport = 2"])
def test_a_file_that_is_not_toml_is_rejected(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        load_settings(Sample, flags={}, environment={}, file=write_toml(tmp_path, text))
    assert caught.value.field == "config"


def test_a_missing_file_is_an_invalid_option(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption) as caught:
        load_settings(Sample, flags={}, environment={}, file=tmp_path / "nothere.toml")
    assert caught.value.field == "config"


def test_printed_settings_are_a_file_with_the_same_settings(tmp_path: Path) -> None:
    flags = {"name": 'a "name"', "origins": "http://a,http://b", "is_on": "on", "where": "/tmp/x"}
    loaded = load_settings(Sample, flags=flags, environment={})
    file = write_toml(tmp_path, loaded.to_toml())
    assert load_settings(Sample, flags={}, environment={}, file=file).settings == loaded.settings


def test_printed_settings_have_no_secret() -> None:
    printed = load_settings(Sample, flags={"key": "sesame"}, environment={}).to_toml()
    assert "sesame" not in printed
    assert '# key = "***"' in printed
    assert "key" not in tomllib.loads(printed)
