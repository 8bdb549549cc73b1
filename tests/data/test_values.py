"""Values as bytes and back."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.cache.results import difference
from apsperf_mw.data.frames import framed, unframed
from apsperf_mw.data.values import ANY, MOST_DEPTH, BadValue, UnstorableValue

ZONES = st.sampled_from([None, UTC, timezone(timedelta(hours=-3, seconds=7), "odd")]) | st.builds(
    ZoneInfo, st.sampled_from(["Europe/Berlin", "America/Santiago"])
)
HASHABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.dates()
    | st.datetimes(timezones=ZONES, allow_imaginary=False)
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
VALUES = st.recursive(
    HASHABLE | st.sets(HASHABLE, max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(HASHABLE, inner, max_size=4),
    max_leaves=10,
)


@given(VALUES)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert difference(value, ANY.unpack(ANY.pack(value))) == ""


@given(st.binary(max_size=60))
def test_any_other_bytes_are_a_value_or_none(data: bytes) -> None:
    with suppress(BadValue):
        ANY.unpack(data)
    held = unframed(data)
    assert held is None or framed(held) == data or held.terms is not None or math.isnan(held.until)


@pytest.mark.parametrize(
    "value",
    [
        2**64,
        -(2**63) - 1,
        10**400,
        {1: "a", "1": "b", b"1": "c", (1,): "d"},
        {True: 1, "x": {2: 3}},
        datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
        time(1, 2, tzinfo=UTC),
        Decimal("1.500"),
        Decimal("NaN"),
        UUID(int=5),
        timedelta(-1, 5, 7),
        date.min,
    ],
    ids=repr,
)
def test_these_come_back_too(value: Any) -> None:
    assert repr(ANY.unpack(ANY.pack(value))) == repr(value)


class Text(str):
    __slots__ = ()


class Zone(ZoneInfo):
    pass


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (object(), "object cannot be kept: nothing is pickled; accepted: None, bool"),
        ([Text("a")], "Text cannot be kept"),
        ({"a": lambda: 1}, "function cannot be kept"),
        (ValueError, "type cannot be kept"),
        (bytearray(b"a"), "bytearray cannot be kept"),
        (datetime(2026, 1, 1, tzinfo=Zone("UTC")), "its zone is .*Zone; accepted"),
        ("\ud800", "str cannot be kept: .*surrogates"),
    ],
)
def test_what_would_not_come_back_is_refused_by_name(value: Any, named: str) -> None:
    with pytest.raises(UnstorableValue, match=named):
        ANY.pack(value)


def test_what_is_nested_too_deep_or_in_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(UnstorableValue, match=f"nested more than {MOST_DEPTH} deep"):
        ANY.pack(value)
