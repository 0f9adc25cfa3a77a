"""Real recordings and real weights for tests, where they are there; what is not proved without them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from neuron_whisper.artifact.cache_directory import default_cache_directory
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.build import build, resolve_build_spec
from neuron_whisper.errors import BuildError
from neuron_whisper.model.checkpoint import open_checkpoint
from neuron_whisper.model.sources import resolve_model
from neuron_whisper.profile import load_profile
from neuron_whisper.transcriber import Transcriber
from tests.support.paths import SPEECH

needs_recordings = pytest.mark.skipif(
    not (SPEECH / "manifest.tsv").exists(),
    reason="no recordings beside the repository: that real speech is understood is not proved",
)


@contextmanager
def open_model(model: str, *, profile: str = "cpu") -> Iterator[Transcriber]:
    """The model on the CPU target, compiled at the first use; skips where it was not fetched, but not in CI."""
    cache = default_cache_directory()
    store = ArtifactStore(cache)
    try:
        checkpoint = open_checkpoint(resolve_model(model, cache=cache, offline=True))
    except BuildError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{model} was not fetched ({error}): that real speech is understood is not proved")
    artifact = build(store, resolve_build_spec(model, checkpoint, load_profile(profile)))
    made = Transcriber.open(store, artifact)
    try:
        yield made
    finally:
        made.close()


def words(text: str) -> list[str]:
    """Lower case, without punctuation."""
    return "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()
