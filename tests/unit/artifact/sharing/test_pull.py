"""Whom a pull trusts; what it does with a repository is in tests/integration/test_sharing.py."""

from __future__ import annotations

import pytest

from neuron_whisper.artifact.sharing.pull import PullOptions, check_trust
from neuron_whisper.errors import InvalidOption, MissingOption


def test_the_owner_of_the_repository_is_trusted_by_name() -> None:
    check_trust("alice/whisper", ["alice"])
    check_trust("alice/whisper", ["bob", "alice"])


def test_without_a_name_nobody_is_trusted_and_the_message_says_why() -> None:
    with pytest.raises(MissingOption, match="artifacts are code") as caught:
        check_trust("alice/whisper", [])
    assert caught.value.field == "--trust"
    assert "alice" in str(caught.value)


@pytest.mark.parametrize("named", ["Alice", "alic", "alice2", "alice/whisper", "*", "", " alice", "whisper"])
def test_only_the_exact_name_of_the_owner_is_trusted(named: str) -> None:
    with pytest.raises(InvalidOption, match="artifacts are code"):
        check_trust("alice/whisper", [named])


@pytest.mark.parametrize("digest", ["", "ab", "A" * 64, "g" * 64])
def test_a_digest_is_64_hex_digits(digest: str) -> None:
    with pytest.raises(InvalidOption, match="--digest"):
        PullOptions(digest=digest)
