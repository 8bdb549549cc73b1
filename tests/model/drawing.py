"""Programs for the cache: a few URLs, and many odd ways to ask for them and to answer."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from tests.model import alphabets
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
def plain_answers(draw: st.DrawFn) -> Answer:
    """What is good to keep, with or without validators and variants; seldom a failure."""
    control = draw(st.sampled_from(alphabets.GOOD_CONTROLS))
    rest = draw(st.sampled_from(alphabets.PLAIN_RESPONSES))
    return Answer(
        draw(st.sampled_from(alphabets.PLAIN_STATUSES)),
        (("Cache-Control", control), *rest),
        length=draw(st.sampled_from(["right", ""])),
        says_304=draw(st.booleans()),
    )


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
def plain_requests(draw: st.DrawFn) -> Request:
    """A GET, such as most are."""
    fields = draw(st.sampled_from(alphabets.PLAIN_REQUESTS))
    target = draw(st.sampled_from(alphabets.TARGETS[:4]))
    return Request("GET", target, (("Host", "shop.test"), *fields))


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


waits = st.sampled_from(alphabets.WAITS)
plain_steps = st.builds(Step, waits, plain_requests(), plain_answers())
mixed_steps = st.builds(Step, waits, odd_requests(), plain_answers())
failing_steps = st.builds(Step, waits, plain_requests(), odd_answers())
odd_steps = st.builds(Step, waits, odd_requests(), odd_answers())
programs = st.lists(
    st.one_of(plain_steps, plain_steps, mixed_steps, failing_steps, odd_steps),
    min_size=5,
    max_size=12,
)
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
