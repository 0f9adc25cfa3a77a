"""ISO 639 codes."""

from __future__ import annotations

from neuron_whisper.text.iso_639 import ISO_639_CODES
from neuron_whisper.text.languages import LANGUAGES


def test_every_language_has_a_code_of_three_letters_and_every_code_is_a_language() -> None:
    assert set(ISO_639_CODES.values()) == set(LANGUAGES)
    three = {code for code in ISO_639_CODES if len(code) == 3}
    assert {ISO_639_CODES[code] for code in three} == set(LANGUAGES)


def test_bibliographic_and_terminological_codes_mean_the_same() -> None:
    pairs = "ger/deu fre/fra dut/nld chi/zho cze/ces gre/ell per/fas rum/ron slo/slk wel/cym ice/isl mac/mkd tib/bod"
    for pair in pairs.split():
        bibliographic, terminological = pair.split("/")
        assert ISO_639_CODES[bibliographic] == ISO_639_CODES[terminological]
