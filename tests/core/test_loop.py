"""Which library runs the current task."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType

import pytest
import trio

from apsperf_mw.runtime.loop import under_trio


def test_a_task_of_trio_is_known_and_one_of_asyncio_is_not() -> None:
    async def ask() -> bool:
        return under_trio()

    assert trio.run(ask)
    assert not asyncio.run(ask())
    assert not under_trio()


def test_a_trio_that_another_thread_is_importing_runs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "trio", ModuleType("trio"))
    assert not under_trio()
