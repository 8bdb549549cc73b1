"""The package does what the reference does: random requests, responses and clocks, step by step."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from tests.model.alphabets import THEMES
from tests.model.comparing import differences
from tests.model.drawing import scenarios
from tests.model.messages import ALL, Departures
from tests.model.script import Scenario
from tests.model.world import Trace, on_package, on_reference

# What the package can do today, and where it is known not to follow the RFC to the letter.
CAN = ALL
DEPARTS = Departures(
    selects_by_union=True,  # one look-up a hit; else those that vary on less drive each other out
    ignores_delay=True,  # the app is the origin; slow ones with short lifetimes would never be hit
    trusts_any_304=True,  # the public cache tests want it: 304-etag-update-response-ETag
)
SCENARIOS = {name: st.one_of(*map(scenarios, themes)) for name, themes in THEMES.items()}


@pytest.mark.parametrize("theme", THEMES)
@given(data=st.data())
def test_the_package_does_as_the_reference(theme: str, data: st.DataObject) -> None:
    scenario = data.draw(SCENARIOS[theme])
    expected = on_reference(scenario, CAN, DEPARTS)
    calls = list(accumulate(len(trace.seen) for trace in expected))
    for shell in ("asgi", "wsgi"):
        got = on_package(shell, scenario, calls)
        for number, want in enumerate(expected):
            if found := differences(scenario.steps[number].request, want, got[number]):
                tell(scenario, expected[: number + 1])
                pytest.fail(f"{shell}: " + "; ".join(found))


def tell(scenario: Scenario, traces: list[Trace]) -> None:
    """Write down what came before a difference."""
    note(f"{scenario.house}")
    for number, trace in enumerate(traces):
        step, reply = scenario.steps[number], trace.reply
        asked = step.request
        note(f"{number + 1}. +{step.wait_s}s {asked.method} {asked.target} {asked.fields}")
        note(f"   app: {step.answer}")
        note(f"   expected: {reply.kind} {reply.status} {reply.body!r} stored={reply.stored}")
