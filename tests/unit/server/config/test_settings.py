"""The server's settings: where each value comes from, and what is said of one that cannot be."""

from __future__ import annotations

import json
import logging
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from neuron_whisper.cli.json_formatter import JsonFormatter
from neuron_whisper.errors import InvalidOption, UnknownOption
from neuron_whisper.server.config.loader import load_settings
from neuron_whisper.server.config.schema import check_settings, list_setting_specs, setting
from neuron_whisper.server.config.settings import ServerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One of each kind."""

    name: str | None = setting(None, "a name")
    key: str | None = setting(None, "a secret", is_secret=True)
    mode: str = setting("fast", "a choice", choices=("fast", "slow"))
    port: int = setting(80, "a number", low=1, high=100)
    most_bytes: int = setting(1024, "a size", low=1, high=1024**3)
    wait_s: float = setting(1.5, "seconds", low=0, high=10)
    is_on: bool = setting(False, "a switch")
    where: Path | None = setting(None, "a path")
    origins: tuple[str, ...] = setting((), "a list")

    def __post_init__(self) -> None:
        check_settings(self)


def write_toml(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "serve.toml"
    file.write_text(text)
    return file


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = write_toml(tmp_path, "port = 3\nwait_s = 3\nis_on = true\n")
    found = load_settings(
        Sample, flags={"port": "1"}, environment={"NEURON_WHISPER_PORT": "2", "NEURON_WHISPER_WAIT_S": "2"}, file=file
    )
    assert (found.settings.port, found.settings.wait_s, found.settings.is_on) == (1, 2.0, True)
    assert [found.sources[name] for name in ("port", "wait_s", "is_on", "mode")] == [
        "--port",
        "NEURON_WHISPER_WAIT_S",
        str(file),
        "default",
    ]


def test_text_and_toml_say_the_same_of_every_kind(tmp_path: Path) -> None:
    text = {
        "name": "n",
        "key": "k",
        "mode": "slow",
        "port": "7",
        "most_bytes": "2MB",
        "wait_s": "2",
        "is_on": "yes",
        "where": "/x",
        "origins": "a, b",
    }
    file = write_toml(
        tmp_path,
        'name="n"\nkey="k"\nmode="slow"\nport=7\nmost_bytes="2MB"\nwait_s=2\nis_on=true\nwhere="/x"\norigins=["a","b"]',
    )
    by_text = load_settings(Sample, flags=text, environment={}).settings
    assert by_text == load_settings(Sample, flags={}, environment={}, file=file).settings
    assert (
        by_text
        == load_settings(
            Sample, flags={}, environment={f"NEURON_WHISPER_{name.upper()}": it for name, it in text.items()}
        ).settings
    )
    assert (by_text.most_bytes, by_text.origins, by_text.where) == (2 * 1024**2, ("a", "b"), Path("/x"))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("port", "eighty", "port: 'eighty' is not allowed; a whole number from 1 to 100"),
        ("port", "0", "port: 0 is not allowed; a whole number from 1 to 100"),
        ("wait_s", "nan", "wait_s: nan is not allowed; a number from 0 to 10"),
        ("mode", "medium", "mode: 'medium' is not allowed; one of fast, slow"),
        ("is_on", "perhaps", "is_on: 'perhaps' is not allowed; true or false"),
        ("most_bytes", "2 parsecs", "most_bytes: '2 parsecs' is not allowed; a whole number"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_field_source_and_what_is_allowed(name: str, value: str, told: str) -> None:
    variable = f"NEURON_WHISPER_{name.upper()}"
    for flags, environment, source in (
        ({name: value}, {}, list_setting_specs(Sample)[name].flag),
        ({}, {variable: value}, variable),
    ):
        with pytest.raises(InvalidOption) as caught:
            load_settings(Sample, flags=flags, environment=environment)
        assert str(caught.value).startswith(told)
        assert str(caught.value).endswith(f"(from {source})")


@pytest.mark.parametrize("text", ['port = "80"', "port = 8.5", "is_on = 1", "origins = [1]", "name = 3", "port = true"])
def test_a_value_of_another_type_in_the_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidOption, match=r"\(from .*serve\.toml\)$"):
        load_settings(Sample, flags={}, environment={}, file=write_toml(tmp_path, text))


def test_a_name_that_is_no_setting_and_a_file_that_is_no_toml_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownOption, match=r"^prot: unknown setting; did you mean port\? \(from .*serve\.toml\)$"):
        load_settings(Sample, flags={}, environment={}, file=write_toml(tmp_path, "prot = 80"))
    with pytest.raises(InvalidOption, match=r"a TOML file \("):
        load_settings(Sample, flags={}, environment={}, file=write_toml(tmp_path, "port ="))


def test_a_secret_stands_in_no_message_and_in_no_print(tmp_path: Path) -> None:
    shown = load_settings(Sample, flags={"key": "sesame"}, environment={}).to_toml()
    assert "sesame" not in shown
    assert '# key = "***"' in shown
    with pytest.raises(InvalidOption) as caught:
        load_settings(Sample, flags={}, environment={}, file=write_toml(tmp_path, "key = 5551234"))
    assert "5551234" not in str(caught.value)


def test_what_is_printed_is_a_file_that_gives_the_same_settings(tmp_path: Path) -> None:
    made = load_settings(
        Sample, flags={"name": 'a "name"', "origins": "http://a,http://b", "is_on": "on"}, environment={}
    )
    assert (
        load_settings(Sample, flags={}, environment={}, file=write_toml(tmp_path, made.to_toml())).settings
        == made.settings
    )


def test_every_setting_of_the_server_says_what_it_is_and_takes_its_own_default(tmp_path: Path) -> None:
    declared = list_setting_specs(ServerSettings)
    assert all(knob.info.description.endswith(".") for knob in declared.values())
    assert len({knob.flag for knob in declared.values()}) == len(declared)
    assert all(knob.info.low is not None for knob in declared.values() if knob.value_type in (int, float))
    printed = load_settings(ServerSettings, flags={}, environment={}).to_toml()
    assert tomllib.loads(printed).keys() <= declared.keys()
    assert (
        load_settings(ServerSettings, flags={}, environment={}, file=write_toml(tmp_path, printed)).settings
        == ServerSettings()
    )


# --- log lines ------------------------------------------------------------------------------------


def test_a_line_of_the_log_is_an_object_with_its_facts_in_json() -> None:
    record = logging.LogRecord(
        "neuron_whisper.server",
        logging.INFO,
        "x.py",
        1,
        "request id=%s status=%d took_ms=%.1f path=%s why=%r",
        ("req_1", 200, 12.5, "/v1/a%20b", "it's over"),
        None,
    )
    line = json.loads(JsonFormatter().format(record))
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "neuron_whisper.server",
        "event": "request",
        "id": "req_1",
        "status": 200,
        "took_ms": 12.5,
        "path": "/v1/a%20b",
        "why": "it's over",
    }


def test_a_line_without_facts_and_one_with_a_traceback_are_objects_too() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        told = logging.LogRecord("n", logging.ERROR, "x.py", 1, "engine stopped", None, sys.exc_info())
    text = JsonFormatter().format(told)
    assert "\n" not in text
    line = json.loads(text)
    assert line["event"] == "engine stopped"
    assert "ValueError: two" in line["traceback"]
