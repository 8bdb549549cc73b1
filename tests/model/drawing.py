"""Programs for the cache: a few URLs, and many odd ways to ask for them and to answer."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import strategies as st

from tests.model import alphabets
from tests.model.alphabets import Theme
from tests.model.messages import Request
from tests.model.script import Answer, Draft, Scenario, Step, Value

HOST = ("Host", "shop.test")


@st.composite
def chosen(draw: st.DrawFn, table: list[tuple[str, int, list[Value]]], most: int) -> Draft:
    """Some fields of a table, each of its name once."""
    names = [name for name, odds, _ in table for _ in range(120 // odds)]
    picked = draw(st.lists(st.sampled_from(names), max_size=most, unique=True))
    values = {name: values for name, _, values in table}
    return tuple((name, draw(st.sampled_from(values[name]))) for name in picked)


@st.composite
def controls(draw: st.DrawFn) -> Draft:
    """Cache-Control in one line or two, or none."""
    if draw(st.integers(0, 4)) > 0:
        return (("Cache-Control", draw(st.sampled_from(alphabets.CONTROLS))),)
    members = draw(st.lists(st.sampled_from(alphabets.DIRECTIVES), max_size=4))
    cut = draw(st.integers(0, len(members)))
    lines = [", ".join(members[:cut]), ",".join(members[cut:])]
    return tuple(("Cache-Control", line) for line in lines if line)


@st.composite
def odd_answers(draw: st.DrawFn) -> Answer:
    """Anything that an app may do."""
    fields = (*draw(controls()), *draw(chosen(alphabets.RESPONSE_FIELDS, most=3)))
    odd = draw(st.integers(0, 14))
    return Answer(
        draw(st.sampled_from(alphabets.STATUSES)),
        fields,
        draw(st.sampled_from(["right", "right", "", "", "", "twice", "5", "x"])),
        takes_s=draw(st.sampled_from([0, 0, 0, 0, 2])),
        fails=odd in {1, 5},
        says_304=draw(st.booleans()),
        says_206=draw(st.booleans()),
        rule_s=20.0 if odd in {2, 3} else None,
        shared=odd == 3,
        size=30 if odd == 4 else 12,
    )


@st.composite
def odd_requests(draw: st.DrawFn) -> Request:
    """Anything that a client may ask."""
    drawn = draw(chosen(alphabets.REQUEST_FIELDS, most=3))
    host = draw(st.sampled_from(alphabets.HOSTS))
    fields = (("Host", host), *[(name, str(value)) for name, value in drawn])
    method = draw(st.sampled_from(alphabets.METHODS))
    request = Request(method, draw(st.sampled_from(alphabets.TARGETS)), fields)
    # As a client sends it: the length of a body goes with the body.
    return replace(request, body=b"x") if request.value("content-length") == "1" else request


def requests_of(theme: Theme) -> list[Request]:
    """All requests of the theme, those for one URL more often."""
    made = itertools.product(theme.methods, alphabets.TARGETS[:4], theme.requests)
    return [Request(method, target, (HOST, *fields)) for method, target, fields in made]


def answers_of(theme: Theme) -> list[Answer]:
    """All answers of the theme."""
    made = itertools.product(
        theme.statuses, theme.controls, theme.responses, ("right", ""), (False, True)
    )
    return [
        Answer(
            status,
            (("Cache-Control", control), *rest),
            length,
            says_304=says_304,
            says_206=theme.says_206,
        )
        for status, control, rest, length, says_304 in made
    ]


odd_steps = st.builds(Step, st.sampled_from(alphabets.WAITS), odd_requests(), odd_answers())


def steps_of(theme: Theme) -> st.SearchStrategy[Step]:
    """Steps of the theme, with something odd in one of four."""
    waits = st.sampled_from(theme.waits)
    requests = st.sampled_from(requests_of(theme))
    answers = st.sampled_from(answers_of(theme))
    usual = st.builds(Step, waits, requests, answers)
    failing = st.builds(Step, waits, requests, st.just(Answer(fails=theme.fails)))
    asked = st.builds(Step, waits, odd_requests(), answers)
    answered = st.builds(Step, waits, requests, odd_answers())
    return st.one_of(*[usual] * 7, failing, asked, answered)


def scenarios(theme: Theme) -> st.SearchStrategy[Scenario]:
    """Settings, and steps of one theme."""
    steps = odd_steps if theme is alphabets.ANY else steps_of(theme)
    programs = st.lists(steps, min_size=5, max_size=10)
    return st.builds(Scenario, st.sampled_from(theme.houses or alphabets.HOUSES), programs)
