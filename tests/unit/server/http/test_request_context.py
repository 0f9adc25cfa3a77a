"""The context of a request."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from neuron_whisper.server.http.request_context import (
    STATE_KEY,
    RequestContext,
    current_request,
    measure_stage,
)


def make_context(request_id: str = "req_1") -> RequestContext:
    return RequestContext(id=request_id, started=time.perf_counter())


def test_a_stage_is_recorded_with_its_times() -> None:
    context = make_context()
    token = current_request.set(context)
    with measure_stage("decode"):
        pass
    current_request.reset(token)
    (stage,) = context.stages
    assert stage.name == "decode"
    assert context.started <= stage.started <= stage.ended <= time.perf_counter()


def test_a_stage_that_raises_is_recorded_too() -> None:
    context = make_context()
    token = current_request.set(context)
    with pytest.raises(ValueError, match="x"), measure_stage("decode"):
        raise ValueError("x")
    current_request.reset(token)
    assert [stage.name for stage in context.stages] == ["decode"]


def test_outside_a_request_a_stage_is_not_recorded() -> None:
    with measure_stage("decode"):
        assert current_request.get() is None


def test_concurrent_tasks_have_their_own_request() -> None:
    async def serve(context: RequestContext) -> None:
        current_request.set(context)
        await asyncio.sleep(0)
        with measure_stage(context.id):
            await asyncio.sleep(0)

    async def run() -> list[RequestContext]:
        contexts = [make_context(f"req_{n}") for n in range(3)]
        await asyncio.gather(*map(serve, contexts))
        return contexts

    for context in asyncio.run(run()):
        assert [stage.name for stage in context.stages] == [context.id]


def test_a_context_is_found_by_its_scope() -> None:
    context = make_context()
    scope: Any = {"state": {STATE_KEY: context}}
    assert RequestContext.from_scope(scope) is context
