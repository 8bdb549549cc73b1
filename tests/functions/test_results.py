"""What functions may return: each caller gets its own, as it was, or an error says why not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from apsperf_mw import APSPerfError, Suite
from apsperf_mw.cache.results import (
    FRAME_VERSION,
    PLAIN,
    TYPED,
    Codec,
    Result,
    ResultFrame,
    UnstorableResult,
    difference,
    frozen,
    size_if_fixed,
    thawed,
)
from tests.functions.support import World, told


class Colour(Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Album:
    title: str
    made: date
    prices: tuple[Decimal, ...] = ()
    tracks: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Label:
    name: str
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shelf:
    albums: list[Album]


class Track(Struct):
    number: int
    seconds: float


class Note(Struct, frozen=True):
    text: str


RETURNED = (
    (None, None),
    (1, int),
    (1.5, float),
    (3, float),  # an int where a float is announced stays an int
    ("a", str),
    (b"a", bytes),
    ([1, "a", None, 2.5, True], list[Any]),
    ({"a": [1], 2: "b"}, dict[Any, Any]),
    ((1, 2), tuple[int, int]),
    ({1, 2}, set[int]),
    (frozenset({"a"}), frozenset[str]),
    ([(1, "a")], list[tuple[int, str]]),
    (Colour.RED, Colour),
    (Point(1, 2), Point),
    (Album("A", date(2026, 1, 2), (Decimal("1.50"),), {1: "one"}), Album),
    (Label("L", ("a", "b")), Label),
    (Shelf([Album("A", date(2026, 1, 2))]), Shelf),
    (Track(1, 2.5), Track),
    (Note("n"), Note),
    (datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), datetime),
    (datetime(2026, 1, 2), datetime),  # noqa: DTZ001
    (time(1, 2), time),
    (timedelta(days=-1, microseconds=7), timedelta),
    (Decimal("1.10"), Decimal),
    (UUID(int=7), UUID),
    ([math.inf, -0.0], list[float]),
)


@pytest.mark.parametrize(("value", "kind"), RETURNED, ids=told)
def test_what_was_returned_comes_back_as_it_was(world: World, value: Any, kind: Any) -> None:
    calls = []

    def function() -> Any:
        calls.append(1)
        return value

    function.__annotations__ = {"return": kind}
    cached = world.cached("short")(function)
    for _ in range(3):
        got = world.call(cached)
        assert not difference(value, got)
        assert got == value
    assert len(calls) == 1


def test_no_caller_sees_what_another_does_to_its_result(world: World) -> None:
    @world.cached("short")
    def function() -> dict[str, Any]:
        return {"list": [1], "set": {"a": 1}}

    for _ in range(3):
        got = world.call(function)
        assert got == {"list": [1], "set": {"a": 1}}
        got["list"].append(2)
        got["set"].clear()
        got["more"] = got


def test_an_int_where_a_float_is_announced_comes_back_equal() -> None:
    @Suite().cached("short")
    def function(number: float) -> Track:
        return Track(1, number)

    for number in (2, 2.5):
        assert function(number) == function(number) == Track(1, number)
    with pytest.raises(UnstorableResult, match="int comes back as float"):
        function(2**53 + 1)


@pytest.mark.parametrize(
    ("value", "fixed"),
    [
        (None, True),
        ("a", True),
        ((1, "a", None), True),
        (frozenset({1}), True),
        (Label("a"), True),
        (Note("a"), True),
        (Point(1, 2), True),
        (Colour.RED, True),
        ([1], False),
        ({}, False),
        ({1}, False),
        ((1, [2]), False),
        (Shelf([]), False),
        (Track(1, 2), False),
        (bytearray(b"a"), False),
    ],
    ids=str,
)
def test_only_what_nobody_can_change_is_kept_as_it_is(value: Any, fixed: bool) -> None:
    for each in (value, (value,)):
        assert (size_if_fixed(each) is not None) == fixed

    def function() -> Any:
        return value

    function.__annotations__ = {"return": type(value)}
    cached = Suite().cached("short")(function)
    assert cached() is value
    assert (cached() is value) == fixed


class Unknown:
    pass


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (Unknown(), Any, ["Unknown"]),
        (Unknown(), Unknown, ["Unknown"]),
        ([Unknown()], list[Any], ["Unknown"]),
        (1j, complex, ["complex"]),
        (2**70, int, ["int"]),
        ("\ud800", str, ["str"]),
        ((1, 2), Any, ["tuple", "comes back as list", "annotate"]),
        ({1, 2}, list[int], ["set"]),
        (Album("A", date(2026, 1, 2)), Any, ["Album", "comes back as dict"]),
        (Album("A", date(2026, 1, 2)), "Nowhere", ["Album"]),
        ("a", int, []),
        (datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2))), datetime, ["datetime"]),
        (iter([]), Any, ["list_iterator"]),
    ],
    ids=told,
)
def test_what_would_come_back_otherwise_is_refused_by_name(
    world: World, value: Any, kind: Any, words: list[str]
) -> None:
    def function() -> Any:
        return value

    function.__annotations__ = {"return": kind}
    cached = world.cached("short")(function)
    if not words:  # a wrong annotation does no harm to what needs none
        assert world.call(cached) == world.call(cached) == value
        return
    with pytest.raises(UnstorableResult) as raised:
        world.call(cached)
    assert isinstance(raised.value, APSPerfError | TypeError)
    for word in ("test_results", "function", *words):
        assert word in str(raised.value)
    assert len(world.suite.functions.calls.flights) == 0


def test_what_holds_itself_is_refused() -> None:
    itself: list[Any] = []
    itself.append(itself)
    with pytest.raises(UnstorableResult, match="nested too deep"):
        Suite().cached("short")(lambda: itself)()


def test_an_annotation_may_name_what_is_defined_later() -> None:
    @Suite().cached("short")
    def function() -> LaterOn:
        return LaterOn(1)

    for _ in range(2):
        assert function() == LaterOn(1)


@dataclass
class LaterOn:
    a: int


def test_a_result_that_is_too_large_is_not_kept(world: World) -> None:
    world.suite.settings = msgspec.structs.replace(
        world.suite.settings,
        cache=msgspec.structs.replace(world.suite.settings.cache, max_entry_bytes=1000),
    )
    calls = []

    @world.cached("short")
    def function(size: int) -> str:
        calls.append(size)
        return "x" * size

    for size in (900, 1100, 900, 1100):
        assert len(world.call(function, size)) == size
    assert calls == [900, 1100, 1100]


# Frames

TEXTS = st.lists(st.text(), max_size=3).map(tuple)
SPANS = st.floats(0, 1e9)


@given(st.sampled_from([TYPED, PLAIN]), st.binary(), SPANS, SPANS, TEXTS)
def test_a_frame_comes_back(
    form: int, data: bytes, fresh: float, more: float, tags: tuple[str, ...]
) -> None:
    result = Result(form, data, len(data), 100 + fresh, 100 + fresh + more, tags)
    back = thawed(frozen(result, 100.0, 5000.0), 40.0, 5007.0)
    assert back is not None
    assert (back.form, back.value, back.tags) == (form, data, tags)
    assert back.fresh_until == pytest.approx(33 + fresh, abs=1e-5)
    assert back.stale_until == pytest.approx(33 + fresh + more, abs=1e-5)


def test_a_frame_from_a_clock_that_runs_ahead_lives_no_longer() -> None:
    result = Result(PLAIN, b"\x01", 1, 160.0, 160.0)
    back = thawed(frozen(result, 100.0, 9000.0), 40.0, 5000.0)
    assert back is not None
    assert back.fresh_until == 100.0


@given(st.binary())
def test_junk_is_no_frame(junk: bytes) -> None:
    thawed(junk, 0.0, 0.0)
    good = frozen(Result(PLAIN, b"\x01", 1, 10.0, 10.0, ("a",)), 0.0, 0.0)
    assert thawed(good[:-1], 0.0, 0.0) is None
    assert thawed(good + junk, 0.0, 0.0) is None or not junk


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": FRAME_VERSION + 1},
        {"form": 0},
        {"form": 7},
        {"fresh_s": -1.0},
        {"fresh_s": math.nan},
        {"stale_s": 1.0},
        {"stale_s": math.inf},
        {"made_at": math.nan},
        {"made_at": -math.inf},
    ],
    ids=str,
)
def test_a_frame_that_cannot_be_is_none(wrong: dict[str, Any]) -> None:
    frame = ResultFrame(FRAME_VERSION, PLAIN, b"\x01", 0.0, 60.0, 90.0, (), b"", 0)
    assert thawed(msgspec.msgpack.encode(frame), 0.0, 0.0) is not None
    made = msgspec.msgpack.encode(msgspec.structs.replace(frame, **wrong))
    assert thawed(made, 0.0, 0.0) is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary()
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
)  # fmt: skip


@given(VALUES)
def test_plain_values_come_back_by_the_form_that_is_found(value: Any) -> None:
    codec = Codec("f", lambda: None)
    packed = codec.packed(value, 1_000_000)
    assert packed is not None
    assert not difference(value, codec.unpacked(*packed))
