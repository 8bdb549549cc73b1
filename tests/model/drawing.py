"""Programs for the cache: a few URLs, and many odd ways to ask for them and to answer."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from tests.model import alphabets
from tests.model.alphabets import Theme
from tests.model.messages import House, Request
from tests.model.script import Answer, Draft, Step, Value


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


@st.composite
def themed_steps(draw: st.DrawFn, theme: Theme) -> Step:
    """What most steps of a program are: of its theme, seldom with something odd in it."""
    wait_s = draw(st.sampled_from(theme.waits))
    odd = draw(st.integers(0, 7))
    request = draw(odd_requests()) if odd == 1 else draw(themed_requests(theme))
    answer = draw(odd_answers()) if odd == 2 else draw(themed_answers(theme))
    return Step(wait_s, request, answer)


@st.composite
def themed_requests(draw: st.DrawFn, theme: Theme) -> Request:
    """A request of the theme."""
    fields = draw(st.sampled_from(theme.requests))
    target = draw(st.sampled_from(alphabets.TARGETS[:4]))
    method = draw(st.sampled_from(theme.methods))
    return Request(method, target, (("Host", "shop.test"), *fields))


@st.composite
def themed_answers(draw: st.DrawFn, theme: Theme) -> Answer:
    """An answer of the theme."""
    control = draw(st.sampled_from(theme.controls))
    rest = draw(st.sampled_from(theme.responses))
    return Answer(
        draw(st.sampled_from(theme.statuses)),
        (("Cache-Control", control), *rest),
        length=draw(st.sampled_from(["right", ""])),
        fails=theme.fails and draw(st.integers(0, 9)) == 1,
        says_304=draw(st.booleans()),
        says_206=theme.says_206,
    )


waits = st.sampled_from(alphabets.WAITS)
odd_programs = st.lists(
    st.builds(Step, waits, odd_requests(), odd_answers()), min_size=5, max_size=12
)
themed_programs = st.sampled_from(alphabets.THEMES).flatmap(
    lambda theme: st.lists(themed_steps(theme), min_size=5, max_size=12)
)
programs = themed_programs | themed_programs | themed_programs | odd_programs
houses = st.sampled_from(
    [
        House(),
        House(),
        House(max_entry_bytes=20, max_variants=2),
        House(ignore_cookies=("theme",), error_ttl_s=2.0),
        House(share_with_cookie=True, store_set_cookie=True),
        House(request_directives="honour"),
        House(request_directives="honour", stale_on_error=True),
        House(heuristic=True, stale_on_error=True),
        House(heuristic=True, heuristic_max_s=20),
    ]
)
