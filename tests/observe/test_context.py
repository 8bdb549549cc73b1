"""W3C trace context, as it comes in."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.span import TraceState

from apsperf_mw.observe.context import Remote, bounded_state, parse_traceparent
from tests.observe.support import PARENT, TRACE

KNOWN = Remote(int(TRACE, 16), int(PARENT, 16), sampled=True)


@pytest.mark.parametrize(
    ("line", "remote"),
    [
        (f"00-{TRACE}-{PARENT}-01", KNOWN),
        (f"00-{TRACE}-{PARENT}-00", KNOWN._replace(sampled=False)),
        (f"00-{TRACE}-{PARENT}-ff", KNOWN),
        (f"00-{TRACE}-{PARENT}-02", KNOWN._replace(sampled=False)),
        (f" \t00-{TRACE}-{PARENT}-01 ", KNOWN),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-adds", KNOWN),
        (f"cc-{TRACE}-{PARENT}-01", KNOWN),
        (f"cc-{TRACE}-{PARENT}-01.more", None),
        (f"00-{TRACE}-{PARENT}-01-more", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        (f"00-{TRACE[:-1]}-{PARENT}-01", None),
        (f"00-{TRACE}-{PARENT}-1", None),
        (f"00-{TRACE}-{PARENT}-01\n", None),
        (f"00-{TRACE}-{PARENT}-01,00-{TRACE}-{PARENT}-01", None),
        ("", None),
        ("00---", None),
        ("\xff" * 64, None),
    ],
)
def test_traceparent(line: str, remote: Remote | None) -> None:
    assert parse_traceparent(line.encode("latin-1")) == remote


hexes = st.text("0123456789abcdefg", max_size=34)


@given(st.one_of(
    st.text(st.characters(max_codepoint=255)),
    st.tuples(*[hexes] * 4).map("-".join),
    st.tuples(
        st.sampled_from(["00", "01", "ff", "cc"]),
        st.sampled_from([TRACE, "0" * 32]),
        st.sampled_from([PARENT, "0" * 16]),
        st.integers(0, 255).map("{:02x}".format),
        st.sampled_from(["", "-", "-x", "x", " "]),
    ).map(lambda parts: "-".join(parts[:4]) + parts[4]),
))  # fmt: skip
def test_traceparent_is_read_as_opentelemetry_reads_it(line: str) -> None:
    context = TraceContextTextMapPropagator().extract({"traceparent": line})
    theirs = get_current_span(context).get_span_context()
    ours = parse_traceparent(line.encode("latin-1"))
    if "\n" in line:  # no server lets one through
        return
    assert (ours is not None) == theirs.is_valid
    if ours is not None:
        assert ours == (theirs.trace_id, theirs.span_id, theirs.trace_flags.sampled)


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        ((), ""),
        ((b"a=1",), "a=1"),
        ((b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",), "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        ((b"a=1", b"b=2"), "a=1,b=2"),
        ((b" a=1 ,\t, b=2",), "a=1,b=2"),
        ((b"fw529a3039@dt=FfAAAg",), "fw529a3039@dt=FfAAAg"),
        ((b"a=1,a=2",), ""),
        ((b"A=1",), ""),
        ((b"a",), ""),
        ((b"a=1\x1b[31m",), ""),
        ((b"a=\xff",), ""),
        ((b"a=" + b"x" * 510,), ""),
        ((b",".join(b"k%d=1" % n for n in range(33)),), ""),
        ((b",".join(b"k%d=1" % n for n in range(32)),), ",".join(f"k{n}=1" for n in range(32))),
    ],
)
def test_tracestate(lines: tuple[bytes, ...], state: str) -> None:
    assert bounded_state(lines) == state


members = st.from_regex(r"[a-zA-Z0-9@_]{1,4}=[\x20-\x7f]{0,4}", fullmatch=True)


@given(st.lists(st.one_of(members, st.text(st.characters(max_codepoint=255), max_size=5))))
@example(["a=1", "b=2"])
def test_opentelemetry_takes_every_state_that_we_keep(lines: list[str]) -> None:
    state = bounded_state([line.encode("latin-1") for line in lines])
    assert ",".join(f"{key}={value}" for key, value in TraceState.from_header([state]).items()) == (
        state
    )
