"""Special tokens: their places in OpenAI's vocabularies."""

from __future__ import annotations

import pytest

from neuron_whisper.text.special_tokens import SpecialTokens


# (end, no speech, first timestamp, last timestamp), from openai/whisper's tokenizers
@pytest.mark.parametrize(
    ("n_vocab", "eot", "no_speech", "timestamp_begin", "n_languages"),
    [(51864, 50256, 50361, 50363, 99), (51865, 50257, 50362, 50364, 99), (51866, 50257, 50363, 50365, 100)],
)
def test_tokens_lie_where_openais_do(
    n_vocab: int, eot: int, no_speech: int, timestamp_begin: int, n_languages: int
) -> None:
    special = SpecialTokens.from_vocab_size(n_vocab)
    assert (special.eot, special.no_speech, special.timestamp_begin) == (eot, no_speech, timestamp_begin)
    assert special.n_languages == n_languages
    assert special.timestamp_end == n_vocab - 1
    assert special.is_multilingual == (n_vocab > 51864)


def test_a_layout_has_openais_order_after_any_text_vocabulary() -> None:
    special = SpecialTokens.from_layout(eot=10, n_languages=2, blank=3, is_multilingual=True)
    order = (special.eot, special.sot, special.first_language, special.translate, special.transcribe, special.sot_lm)
    assert order == (10, 11, 12, 14, 15, 16)
    assert (special.sot_prev, special.no_speech, special.no_timestamps, special.timestamp_begin) == (17, 18, 19, 20)
