"""What can be asked of a push, before any hub is asked; the rest is in tests/integration/test_sharing.py."""

from __future__ import annotations

import pytest

from neuron_whisper.artifact.sharing.push import PushOptions
from neuron_whisper.errors import InvalidOption


def test_a_push_is_private_unless_it_is_asked_otherwise() -> None:
    assert PushOptions().public is False


@pytest.mark.parametrize("tag", ["", " ", "a\nb"])
def test_a_tag_is_a_word(tag: str) -> None:
    with pytest.raises(InvalidOption, match="--tags"):
        PushOptions(tags=("speech", tag))


@pytest.mark.parametrize("card", ["---\n[1, 2]\n---\n", "---\na: b: c\n---\n", "---\n1: 2\n---\n"])
def test_a_card_with_broken_front_matter_is_refused(card: str) -> None:
    with pytest.raises(InvalidOption, match="--card"):
        PushOptions(card=card)
