"""Stages: their times, and the error that ended one."""

from __future__ import annotations

import logging

import pytest

from neuron_whisper.cli.demo.serving import DemoFailed
from neuron_whisper.cli.demo.stages import StageLog
from neuron_whisper.errors import FetchFailed


def test_a_stage_that_ends_well_has_its_time_and_what_it_found() -> None:
    log = StageLog(("check", "fetch"))
    with log.run("check") as stage:
        stage.found = "inf2"
        assert stage.state == "running"
    assert (stage.state, stage.found, stage.error) == ("ok", "inf2", "")
    assert stage.seconds is not None
    assert stage.seconds >= 0
    assert log.stages["fetch"].state == "not reached"
    assert log.failed is None


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (FetchFailed("base", "no network"), "FetchFailed", "cannot fetch base: no network"),
        (DemoFailed("no server"), "DemoFailed", "no server"),
        (KeyboardInterrupt(), "KeyboardInterrupt", ""),
        (RuntimeError("nrt_init"), "RuntimeError", "nrt_init"),
    ],
)
def test_any_error_is_kept_with_its_stage_and_goes_on(error: BaseException, kind: str, text: str) -> None:
    error.add_note("the log's end\n")
    log = StageLog(("check", "fetch", "compile"))
    with log.run("check"):
        pass
    with pytest.raises(type(error)), log.run("fetch"):
        raise error
    assert log.failed is log.stages["fetch"]
    assert (log.failed.error_kind, log.failed.error, log.failed.log) == (kind, text, "the log's end")
    assert [stage.state for stage in log.stages.values()] == ["ok", "failed", "not reached"]


def test_warnings_of_the_log_are_kept_once_and_only_while_collected() -> None:
    log = StageLog(())
    logger = logging.getLogger("neuron_whisper.test_stages")
    with log.collect_warnings("neuron_whisper"):
        logger.info("not this")
        logger.warning("memory: %d GB", 15)
        logger.warning("memory: 15 GB")
        logger.error("worse")
    logger.warning("too late")
    assert log.warnings == ["memory: 15 GB", "worse"]
