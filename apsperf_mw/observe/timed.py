"""The CPU time of one task among those that take turns on a thread."""

from __future__ import annotations

from time import thread_time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator

    from apsperf_mw.observe.record import Costs


class Timed:
    """Awaits what an app gives, and adds up the CPU time of each of its turns."""

    __slots__ = ("_call", "_costs")

    def __init__(self, call: Awaitable[Any], costs: Costs) -> None:
        self._call = call
        self._costs = costs

    def __await__(self) -> Generator[Any, Any, Any]:
        turns: Any = self._call.__await__()
        turn, given = turns.send, None
        while True:
            began_s = thread_time()
            try:
                asked = turn(given)
            except StopIteration as end:
                return end.value
            finally:
                self._costs.cpu_s = (self._costs.cpu_s or 0.0) + thread_time() - began_s
            try:
                turn, given = turns.send, (yield asked)
            except GeneratorExit:
                turns.close()
                raise
            except BaseException as error:
                turn, given = turns.throw, error
