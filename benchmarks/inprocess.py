"""Added microseconds in process: all contenders by turns, compared round by round.

A round gives every contender one slice, in shuffled order. What a contender adds is its time
less the bare app's of the same case and round, so that what slows the machine slows both; the
median over the rounds counts. The garbage collector stays on. ASGI coroutines are driven by
`.send(None)`, without an event loop, whose own time would be noise. Requests are made before
the clock starts, each of objects of its own.
"""

from __future__ import annotations

import random
from statistics import median, quantiles
from time import perf_counter
from typing import TYPE_CHECKING

from msgspec import Struct

from benchmarks.cases import PLANS, Case
from benchmarks.shells import SHELLS

# So few requests wait that they are still in the processor's cache, as behind a server.
BATCH = 8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.cases import Contender, Plan

    Progress = Callable[[str], None]
    # The microseconds of a contender's slices, round by round.
    Times = dict[str, list[float]]


class Result(Struct):
    """What one contender took in one case; `bar_us` is on the added time."""

    shell: str
    case: str
    title: str
    contender: str
    us: float
    added_us: float
    added_quartiles_us: tuple[float, float]
    ratio_to_bare: float
    ratio_to_dict: float | None
    bar_us: float | None


def measure(
    plans: Iterable[Plan] = PLANS, *, rounds: int, slice_requests: int, progress: Progress
) -> list[Result]:
    """Measure the plans on both shells."""
    progress("in process: warming up")
    cases = [Case(plan, shell) for shell in SHELLS for plan in plans]
    times: list[Times] = [{c.name: [] for c in case.contenders} for case in cases]
    for _ in range(2):  # caches fill, the interpreter specialises
        play(cases, [{c.name: [] for c in case.contenders} for case in cases], slice_requests)
    for turn in range(rounds):
        progress(f"in process: round {turn + 1} of {rounds}")
        play(cases, times, slice_requests)
    for case in cases:
        case.check()
        case.close()
    return [result for case, taken in zip(cases, times, strict=True) for result in of(case, taken)]


def play(cases: list[Case], times: list[Times], slice_requests: int) -> None:
    """One round; a case's contenders follow each other closely, in any order."""
    order = list(zip(cases, times, strict=True))
    random.shuffle(order)
    for case, taken in order:
        for contender in random.sample(case.contenders, len(case.contenders)):
            taken[contender.name].append(timed_us(case, contender, slice_requests))


def timed_us(case: Case, contender: Contender, slice_requests: int) -> float:
    """Microseconds per request over one slice, whose requests are made a few at a time."""
    if case.plan.emptied:
        contender.reset()
    app, drive = contender.app, case.shell.drive
    taken_s = 0.0
    batches = -(-slice_requests // BATCH)
    for _ in range(batches):
        requests = case.requests(BATCH)
        began = perf_counter()
        drive(app, requests)
        taken_s += perf_counter() - began
    return taken_s / (batches * BATCH) * 1e6


def of(case: Case, taken: Times) -> list[Result]:
    """The results of a case's contenders."""
    return [_result(case, contender.name, taken) for contender in case.contenders]


def _result(case: Case, name: str, taken: Times) -> Result:
    added = [us - bare for us, bare in zip(taken[name], taken["bare"], strict=True)]
    to_dict = _ratio(taken[name], taken["dict"]) if "dict" in taken else None
    return Result(
        case.shell.name,
        case.plan.name,
        case.plan.title,
        name,
        median(taken[name]),
        median(added),
        _quartiles(added),
        _ratio(taken[name], taken["bare"]),
        to_dict,
        case.plan.bars_us.get(case.shell.name) if name == "suite" else None,
    )


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return median(our / their for our, their in zip(ours, theirs, strict=True))


def _quartiles(values: list[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = quantiles(values, n=4)
    return low, high
