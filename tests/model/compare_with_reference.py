"""The package does what the reference does: random requests, responses and clocks, step by step."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, note

from tests.model.comparing import differences
from tests.model.drawing import houses, programs
from tests.model.messages import ALL, Departures, House
from tests.model.script import Step
from tests.model.world import Trace, on_package, on_reference

# What the package can do today, and where it is known not to follow the RFC to the letter.
CAN = ALL
DEPARTS = Departures(
    selects_by_union=True,
    ignores_delay=True,
    needs_last_modified=True,
    trusts_any_304=True,
    answers_by_old_fields=True,
    erases_renewed_part=True,
    head_never_refreshes=True,
    head_forgets=True,
)


@pytest.mark.parametrize("shell", ["asgi", "wsgi"])
@given(program=programs, house=houses)
def test_the_package_does_as_the_reference(shell: str, program: list[Step], house: House) -> None:
    expected = on_reference(program, CAN, house, DEPARTS)
    calls = list(accumulate(len(trace.seen) for trace in expected))
    got = on_package(shell, program, house, calls)
    for number, (step, want, have) in enumerate(zip(program, expected, got, strict=True), 1):
        if found := differences(step.request, want, have):
            tell(program[:number], expected)
            pytest.fail("; ".join(found))


def tell(program: list[Step], traces: list[Trace]) -> None:
    """Write down what came before a difference."""
    for number, (step, trace) in enumerate(zip(program, traces, strict=False), 1):
        asked, answer, reply = step.request, step.answer, trace.reply
        note(f"{number}. +{step.wait_s}s {asked.method} {asked.target} {asked.fields}")
        note(f"   app: {answer}")
        note(f"   expected: {reply.kind} {reply.status} {reply.body!r} stored={reply.stored}")
