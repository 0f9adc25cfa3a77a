"""The model card of a repository of artifacts: README.md with front matter, written from their manifests.

What people write into it stays: text outside of the marks, and fields of the front matter that are not as written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuron_whisper.artifact.known_models import list_languages
from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.artifact.manifest import Manifest
from neuron_whisper.artifact.sharing.measurements import Measurement
from neuron_whisper.errors import ArtifactError, InvalidOption
from neuron_whisper.host.text_files import decode_text
from neuron_whisper.model.catalogue import CATALOGUE, CatalogueEntry
from neuron_whisper.model.hub import HUB_ID
from neuron_whisper.text.languages import LANGUAGES

CARD_NAME = "README.md"
CARD_LIMIT_BYTES = 1 << 20
LIBRARY = "neuron-whisper"
BEGIN = "<!-- neuron-whisper artifacts push: begin. Text outside of these marks is yours and stays. -->"
END = "<!-- neuron-whisper artifacts push: end -->"
UNKNOWN_LICENCE = "unknown"  # one of the hub's identifiers
_TARGET_TAGS = {"cpu": "openvino", "neuron": "aws-neuron"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CardEntry:
    """An artifact of the repository: its manifest, the sha256 of manifest.json, and what was measured of it."""

    manifest: Manifest
    digest: str
    measurements: Sequence[Measurement] = ()

    @property
    def artifact(self) -> Artifact:
        return Artifact(path=Path(self.manifest.name), manifest=self.manifest)

    @property
    def known(self) -> CatalogueEntry | None:
        """The catalogue's entry of the model, by a short name or by the hub's id."""
        model = self.manifest.model
        by_id = (entry for entry in CATALOGUE.values() if entry.hub_id == model.partition("@")[0])
        return CATALOGUE.get(model) or next(by_id, None)

    @property
    def base_model(self) -> str | None:
        """The model's id on the hub; None for a path."""
        if self.known is not None:
            return self.known.hub_id
        found = HUB_ID.fullmatch(self.manifest.model)
        return found["repo"] if found and not self.is_local else None

    @property
    def is_local(self) -> bool:
        """Whether the model was named by a path, which says where it lay on the machine that compiled."""
        return self.manifest.model.startswith(("/", ".", "~")) or self.manifest.model.count("/") > 1

    @property
    def licence(self) -> str:
        return self.known.licence.lower() if self.known else UNKNOWN_LICENCE

    @property
    def languages(self) -> tuple[str, ...]:
        """Raises ArtifactCorrupt."""
        if self.known is not None:
            return list_languages(self.known)
        special = self.artifact.spec.special
        return tuple(LANGUAGES)[: special.n_languages] if special.is_multilingual else ("en",)


def make_card(
    repository: str,
    entries: Sequence[CardEntry],
    *,
    existing: str = "",
    before: Sequence[CardEntry] = (),
    added: str = "",
    tags: Iterable[str] = (),
) -> str:
    """README.md for these artifacts. `existing` is the one that the repository has, `before` the artifacts in it.

    `added` is the file of --card: its fields go before all others, its text takes the place of what people wrote.
    Raises InvalidOption when its front matter cannot be read.
    """
    fields, text = _split_card(existing)
    own_fields, own_text = split_card_file(added)
    written, generated = _make_fields(before), _make_fields(entries)
    for name, value in generated.items():
        if name not in fields or fields[name] == written.get(name):
            fields[name] = value
    all_tags = [*_list(fields.get("tags")), *_make_tags(entries), *_list(own_fields.get("tags")), *tags]
    fields = {**fields, **own_fields, "tags": list(dict.fromkeys(all_tags))}
    above, below = ("", own_text.strip()) if added else _split_text(text)
    section = f"{BEGIN}\n\n{_format_section(repository, entries)}\n{END}"
    body = "\n\n".join(part for part in (above, section, below) if part)
    return f"---\n{_dump(fields)}---\n\n{body}\n"


def read_card_file(path: Path) -> str:
    """The text of --card. Raises InvalidOption."""
    try:
        if path.stat().st_size > CARD_LIMIT_BYTES:
            raise InvalidOption("--card", str(path), f"a Markdown file of at most {CARD_LIMIT_BYTES:,} bytes")
        text = decode_text(path.read_bytes())
    except OSError as error:
        raise InvalidOption("--card", str(path), f"a file that can be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InvalidOption("--card", str(path), "a Markdown file in UTF-8") from None
    split_card_file(text)
    return text


def split_card_file(text: str) -> tuple[dict[str, Any], str]:
    """Front matter and text of --card. Raises InvalidOption."""
    try:
        return _parse_card(text)
    except Exception as error:  # yaml's own, which is no dependency of ours
        reason = str(error).splitlines() or [type(error).__name__]
        raise InvalidOption("--card", "front matter", f"YAML fields of a model card ({reason[0]})") from None


def _split_card(text: str) -> tuple[dict[str, Any], str]:
    """As split_card_file of the repository's own card, whose front matter is written anew where it is broken."""
    try:
        return _parse_card(text)
    except Exception:
        return {}, text


def _parse_card(text: str) -> tuple[dict[str, Any], str]:
    from huggingface_hub.repocard import REGEX_YAML_BLOCK, RepoCard

    if REGEX_YAML_BLOCK.search(text) is None:  # RepoCard would log a warning
        return {}, text
    card = RepoCard(text)
    return {name: value for name, value in vars(card.data).items() if value is not None}, str(card.text)


def _dump(fields: Mapping[str, Any]) -> str:
    from huggingface_hub import CardData

    return f"{CardData(**fields).to_yaml()}\n"


def _split_text(text: str) -> tuple[str, str]:
    """What stands before and behind the part between the marks; all of it is behind when there are none."""
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    return (before.strip(), after.strip()) if found and closed else ("", text.strip())


def _make_fields(entries: Sequence[CardEntry]) -> dict[str, Any]:
    """The fields of the front matter except tags, which only grow; none for no artifact."""
    if not entries:
        return {}
    fields = {
        "license": _one_or_list(it.licence for it in entries),
        "language": _one_or_list(language for it in entries for language in it.languages),
        "base_model": _one_or_list(model for it in entries if (model := it.base_model)),
        "pipeline_tag": "automatic-speech-recognition",
        "library_name": LIBRARY,
    }
    return {name: value for name, value in fields.items() if value}


def _make_tags(entries: Sequence[CardEntry]) -> Iterable[str]:
    yield from ("whisper", LIBRARY)
    for it in entries:
        yield _TARGET_TAGS.get(it.manifest.target, it.manifest.target)
        if instance := it.artifact.profile.target.instance:
            yield instance


def _one_or_list(values: Iterable[str]) -> str | list[str]:
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else distinct


def _list(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [str(it) for it in value] if isinstance(value, list) else []


def _format_section(repository: str, entries: Sequence[CardEntry]) -> str:
    owner, _, name = repository.partition("/")
    first = entries[0].manifest.name
    listed = "\n".join(_format_entry(it) for it in entries)
    return f"""\
# {_cell(name)}

Whisper compiled ahead of time by `neuron-whisper`, one folder for each artifact. An artifact runs with the target and
the versions of the toolchain that it was compiled with, and with no other.

**Artifacts are code.** Whoever loads one runs what its owner compiled. Pull only from owners you trust; what is pulled
is checked against the digests in its manifest, which finds damage, not malice.

```sh
neuron-whisper artifacts pull {repository} {first} --trust {owner}
neuron-whisper transcribe speech.mp3 --artifact {first}
```

```python
import neuron_whisper

with neuron_whisper.load_model("{first}") as model:
    print(model.transcribe("speech.mp3").text)
```

{listed}"""


def _format_entry(entry: CardEntry) -> str:
    manifest, profile = entry.manifest, entry.artifact.profile
    spec = entry.artifact.spec
    target = profile.target
    where = f"{target.name}{f', {target.instance}' if target.instance else ''}, tensor parallelism {manifest.tp}"
    languages = entry.languages
    rows = [
        ("model", entry.base_model or Path(manifest.model).name),
        ("licence", "not known; see the model's page" if entry.licence == UNKNOWN_LICENCE else entry.licence),
        ("languages", ", ".join(languages) if len(languages) < 10 else f"{len(languages)} languages"),
        ("target", where),
        ("profile", _name_profile(entry)),
        ("types", f"weights {profile.weights.dtype}, activations {target.dtype}"),
        ("shapes", f"{spec.slots} slots, {spec.beams} beams, text context {spec.text_context}"),
        ("toolchain", ", ".join(f"{package} {version}" for package, version in sorted(manifest.toolchain.items()))),
        ("compiled", f"{manifest.created[:10]} by neuron-whisper {manifest.neuron_whisper}"),
        ("size", f"{entry.artifact.size_bytes / 1e6:,.1f} MB"),
        ("key", manifest.key),
        ("sha256 of manifest.json", entry.digest),
        *(("measured", _format_measurement(it)) for it in entry.measurements),
    ]
    table = "\n".join(f"| {name} | {_cell(value)} |" for name, value in rows)
    return f"## {manifest.name}\n\n| | |\n| --- | --- |\n{table}\n"


def _name_profile(entry: CardEntry) -> str:
    try:
        return entry.artifact.profile_name or "one of its own (in manifest.json)"
    except ArtifactError:
        return "-"


def _format_measurement(it: Measurement) -> str:
    """("WER 3.21 %, CER 1.20 %, RTF 0.123 (8 clips, 120 s, en; auto; 4 threads of an Intel Xeon, 2026-11-27)")"""
    rates = [f"{name} {rate * 100:.2f} %" for name, rate in (("WER", it.wer), ("CER", it.cer)) if rate is not None]
    speech = f"{it.clips} clips, {it.audio_s:.0f} s, {', '.join(it.languages)}"
    machine = f"{it.threads} threads of {it.processor}, {it.date[:10]}"
    return f"{', '.join([*rates, f'RTF {it.rtf:.4g}'])} ({speech}; {it.long_form}; {machine})"


def _cell(text: str) -> str:
    """Text for a table of Markdown: of a manifest that somebody else wrote, too."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    for char, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "'"), ("[", "\\[")):
        plain = plain.replace(char, written)
    return plain
