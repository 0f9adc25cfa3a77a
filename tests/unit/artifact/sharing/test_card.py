"""The model card: what the manifests say, what was measured, and what people add and keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from huggingface_hub import RepoCard

from neuron_whisper.artifact.sharing.card import BEGIN, END, CardEntry, make_card, read_card_file
from neuron_whisper.artifact.sharing.measurements import Measurement
from neuron_whisper.errors import InvalidOption
from tests.support.artifact_samples import sample_manifest

REPOSITORY = "alice/whisper"
MEASURED = Measurement(
    artifact_key="ab" * 32,
    long_form="auto",
    wer=0.0321,
    cer=None,
    rtf=0.1234,
    clips=8,
    audio_s=120.0,
    languages=("en",),
    processor="A CPU",
    threads=4,
    date="2026-11-27T12:00:00+00:00",
)


def entry(model: str = "base", measurements: tuple[Measurement, ...] = (), **facts: Any) -> CardEntry:
    manifest = sample_manifest(model.rpartition("/")[2], **facts)
    return CardEntry(
        manifest=msgspec.structs.replace(manifest, model=model), digest="cd" * 32, measurements=measurements
    )


def fields_of(card: str) -> dict[str, Any]:
    return dict(vars(RepoCard(card).data))


def rows_of(card: str, name: str) -> dict[str, str]:
    """The table of one artifact."""
    lines = card.partition(f"## {name}\n")[2].partition("\n## ")[0].splitlines()
    cells = [line.strip("| ").split(" | ", 1) for line in lines if line.startswith("| ") and "---" not in line]
    return {cell[0]: cell[1] for cell in cells if len(cell) == 2}


def test_the_front_matter_says_what_the_hub_asks_for() -> None:
    fields = fields_of(make_card(REPOSITORY, [entry("tiny.en")], tags=["podcasts"]))
    assert fields == {
        "license": "apache-2.0",
        "language": "en",
        "base_model": "openai/whisper-tiny.en",
        "pipeline_tag": "automatic-speech-recognition",
        "library_name": "neuron-whisper",
        "tags": ["whisper", "neuron-whisper", "openvino", "podcasts"],
    }


def test_norwegian_stays_a_language() -> None:
    assert "no" in fields_of(make_card(REPOSITORY, [entry("base")]))["language"]


@pytest.mark.parametrize(
    ("model", "base_model", "licence", "language"),
    [
        ("kotoba-v2.2", "kotoba-tech/kotoba-whisper-v2.2", "apache-2.0", "ja"),
        ("openai/whisper-large-v3-turbo", "openai/whisper-large-v3-turbo", "mit", None),
        ("someone/fine-tuned@v1", "someone/fine-tuned", "unknown", None),
        ("/home/bob/checkpoints/mine", None, "unknown", None),
    ],
)
def test_a_model_is_described_as_far_as_it_is_known(
    model: str, base_model: str | None, licence: str, language: str | None
) -> None:
    fields = fields_of(make_card(REPOSITORY, [entry(model)]))
    assert (fields.get("base_model"), fields["license"]) == (base_model, licence)
    assert language is None or fields["language"] == language


def test_the_path_of_a_checkpoint_is_not_published_by_the_card() -> None:
    assert "/home/bob" not in make_card(REPOSITORY, [entry("/home/bob/checkpoints/mine")])


def test_the_table_of_an_artifact_says_what_it_is_and_how_it_was_made() -> None:
    one = entry("tiny.en", (MEASURED,))
    rows = rows_of(make_card(REPOSITORY, [one]), one.manifest.name)
    assert rows["model"] == "openai/whisper-tiny.en"
    assert rows["licence"] == "apache-2.0"
    assert rows["languages"] == "en"
    assert rows["target"] == "cpu, tensor parallelism 1"
    assert rows["toolchain"].startswith("openvino 20")
    assert rows["key"] == one.manifest.key
    assert rows["sha256 of manifest.json"] == "cd" * 32
    assert rows["measured"] == "WER 3.21 %, RTF 0.1234 (8 clips, 120 s, en; auto; 4 threads of A CPU, 2026-11-27)"


def test_a_neuron_artifact_names_its_instance_and_the_versions_of_the_sdk() -> None:
    manifest = sample_manifest(toolchain={"neuronx-cc": "2.26.1", "torch-neuronx": "2.9.0"})
    profile = {**manifest.profile, "target": {"name": "neuron", "tp": 2, "dtype": "bfloat16", "instance": "inf2"}}
    name = manifest.name.replace("-cpu-tp1-", "-neuron-tp2-")
    neuron = msgspec.structs.replace(manifest, target="neuron", tp=2, profile=profile, name=name)
    card = make_card(REPOSITORY, [CardEntry(manifest=neuron, digest="cd" * 32)])
    assert rows_of(card, name)["target"] == "neuron, inf2, tensor parallelism 2"
    assert rows_of(card, name)["toolchain"] == "neuronx-cc 2.26.1, torch-neuronx 2.9.0"
    assert fields_of(card)["tags"] == ["whisper", "neuron-whisper", "aws-neuron", "inf2"]


def test_it_says_that_artifacts_are_code_and_how_to_load_one() -> None:
    one = entry("base")
    card = make_card(REPOSITORY, [one])
    assert "**Artifacts are code.**" in card
    assert f"neuron-whisper artifacts pull alice/whisper {one.manifest.name} --trust alice" in card


def test_several_artifacts_share_a_card() -> None:
    both = [entry("tiny.en"), entry("large-v3-turbo", profile_number=2)]
    card = make_card(REPOSITORY, both)
    assert all(f"## {it.manifest.name}" in card for it in both)
    fields = fields_of(card)
    assert fields["license"] == ["apache-2.0", "mit"]
    assert fields["base_model"] == ["openai/whisper-tiny.en", "openai/whisper-large-v3-turbo"]
    assert fields["language"][:2] == ["en", "zh"]


# --- what people add ----------------------------------------------------------------------------


def test_the_file_of_card_goes_before_the_fields_and_its_text_follows() -> None:
    added = "---\nlicense: other\nlicense_name: mine\ntags: [meetings]\n---\n\n# About\n\nTrained on meetings.\n"
    card = make_card(REPOSITORY, [entry("tiny.en")], added=added, tags=["x"])
    fields = fields_of(card)
    assert (fields["license"], fields["license_name"]) == ("other", "mine")
    assert fields["tags"] == ["whisper", "neuron-whisper", "openvino", "meetings", "x"]
    assert card.endswith(f"{END}\n\n# About\n\nTrained on meetings.\n")


def test_a_later_push_keeps_what_people_wrote_and_renews_what_it_wrote() -> None:
    first, second = entry("tiny.en"), entry("large-v3-turbo", profile_number=2)
    added = "---\nlicense: other\ndatasets: [me/speech]\ntags: [meetings]\n---\nTrained on meetings.\n"
    card = make_card(REPOSITORY, [first], added=added)
    card = card.replace(BEGIN, f"Written on the page.\n\n{BEGIN}")
    again = make_card(REPOSITORY, [first, second], existing=card, before=[first])
    fields = fields_of(again)
    assert (fields["license"], fields["datasets"]) == ("other", ["me/speech"])
    assert fields["base_model"] == ["openai/whisper-tiny.en", "openai/whisper-large-v3-turbo"]
    assert "meetings" in fields["tags"]
    assert again.count("Trained on meetings.") == again.count("Written on the page.") == again.count(BEGIN) == 1
    assert again.index("Written on the page.") < again.index(BEGIN) < again.index("Trained on meetings.")


def test_the_same_artifacts_give_the_same_card() -> None:
    one = entry("base", (MEASURED,))
    card = make_card(REPOSITORY, [one], added="Text.\n", tags=["a"])
    assert make_card(REPOSITORY, [one], existing=card, before=[one]) == card


def test_a_card_that_somebody_wrote_by_hand_stays_below() -> None:
    card = make_card(REPOSITORY, [entry("base")], existing="---\nlicense: mit\n---\n# Mine\n\nHand-written.\n")
    assert fields_of(card)["license"] == "mit"
    assert card.index(END) < card.index("# Mine")


def test_a_broken_card_in_the_repository_is_kept_as_text() -> None:
    card = make_card(REPOSITORY, [entry("base")], existing="---\n[1\n---\nText.\n")
    assert fields_of(card)["license"] == "apache-2.0"
    assert "Text." in card


def test_a_manifest_cannot_write_markup_into_a_card() -> None:
    hostile = entry("x/y|<script>alert(1)</script>\n# Big [link](http://a)")
    card = make_card(REPOSITORY, [hostile])
    assert "<script>" not in card
    assert "\n# Big" not in card
    assert "[link](" not in card.replace("\\[link](", "")


# --- its file -----------------------------------------------------------------------------------


def test_a_card_file_is_text_in_utf_8_of_some_size(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    path.write_bytes(b"\xef\xbb\xbf---\ntags: [a]\n---\nText.")
    assert read_card_file(path) == "---\ntags: [a]\n---\nText."
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InvalidOption, match="--card"):
        read_card_file(path)
    path.write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(InvalidOption, match="--card"):
        read_card_file(path)
    with pytest.raises(InvalidOption, match="--card"):
        read_card_file(tmp_path / "none.md")
