"""What the page knows of its server."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from neuron_whisper import __version__
from neuron_whisper.server import ServerSettings
from neuron_whisper.server.web.config import create_page_config, to_script_json


def test_it_has_the_limits_and_what_the_server_offers(tmp_path: Path) -> None:
    settings = ServerSettings(
        max_upload_bytes=1000,
        max_audio_s=60,
        jobs_dir=tmp_path,
        jobs_max_upload_bytes=5000,
        jobs_max_audio_s=600,
        realtime_sessions=0,
    )
    samples = {"a b.wav": "samples/a%20b.wav"}
    config = json.loads(to_script_json(create_page_config(settings, "turbo", ["en", "de"], samples)))
    assert config == {
        "model": "turbo",
        "languages": [{"code": "en", "name": "English"}, {"code": "de", "name": "German"}],
        "maxUploadBytes": 1000,
        "maxAudioSeconds": 60.0,
        "hasKeys": False,
        "hasJobs": True,
        "jobsMaxUploadBytes": 5000,
        "jobsMaxAudioSeconds": 600.0,
        "hasRealtime": False,
        "hasModelAdmin": False,
        "metricsNeedKey": False,
        "samples": [{"name": "a b.wav", "url": "samples/a%20b.wav"}],
        "version": __version__,
        "nonce": "",
    }


def test_keys_are_told_of_but_not_where_they_are(tmp_path: Path) -> None:
    settings = ServerSettings(keys_file=tmp_path / "keys.json", metrics_need_key=True, model_admin=True)
    config = create_page_config(settings, "turbo", [])
    assert (config.has_keys, config.metrics_need_key, config.has_model_admin) == (True, True, True)
    assert str(tmp_path) not in to_script_json(config)


@pytest.mark.parametrize("model", ["</script><script>alert(1)</script>", "<!--", "a&lt;b", "]]>", '"\\', "モデル"])
def test_no_name_ends_the_script_element(model: str) -> None:
    config = msgspec.structs.replace(create_page_config(ServerSettings(), model, []), nonce="N")
    text = to_script_json(config)
    assert not set(text) & set("<>&")
    assert json.loads(text)["model"] == model
    assert json.loads(text)["nonce"] == "N"
