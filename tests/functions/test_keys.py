"""Keys of calls: the same call has one, however it is spelt, and no two calls share one."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw import APSPerfError, SettingError, Suite
from apsperf_mw.cache.arguments import (
    MOST_BYTES,
    MOST_DEPTH,
    MOST_ITEMS,
    Parameters,
    UnkeyableArgument,
    encoded,
)
from apsperf_mw.cache.keys import frame
from tests.functions.support import told


class Colour(Enum):
    RED = 1
    BLUE = 2


class Level(IntEnum):
    LOW = 1


class Right(Flag):
    READ = 1
    WRITE = 2


class Text(str):
    __slots__ = ()


ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.decimals().filter(lambda number: not number.is_snan())  # no set takes those
    | st.uuids()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.datetimes()
    | st.datetimes(timezones=st.sampled_from([UTC, ZoneInfo("Europe/Paris"), ZoneInfo("UTC")]))
    | st.sampled_from([*Colour, *Level, *Right, Right.READ | Right.WRITE, Path("/a"), Path("a")])
)
HASHABLE = st.recursive(
    ATOMS, lambda inner: st.lists(inner).map(tuple) | st.frozensets(inner), max_leaves=3
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: st.lists(inner) | st.dictionaries(HASHABLE, inner) | st.sets(HASHABLE),
    max_leaves=5,
)


def oracle(value: Any) -> Any:
    """Something that is equal for two values just where they must share a key."""
    kind = type(value)
    if kind is float:
        return kind, "nan" if math.isnan(value) else value.hex()
    if kind is Decimal:
        return kind, value.as_tuple()
    if kind in (datetime, time):
        zone = value.tzinfo
        shown = getattr(zone, "key", None) or (zone and zone.utcoffset(None))
        return kind, value.replace(tzinfo=None), value.fold, type(zone), shown
    if kind in (tuple, list):
        return kind, tuple(map(oracle, value))
    if kind in (set, frozenset):
        return kind, frozenset(counted(map(oracle, value)).items())
    if kind is dict:
        pairs = ((oracle(key), oracle(item)) for key, item in value.items())
        return kind, frozenset(counted(pairs).items())
    return kind, value


def counted(values: Any) -> dict[Any, int]:
    """How often each comes; several NaN may be in one set."""
    count: dict[Any, int] = {}
    for value in values:
        count[value] = count.get(value, 0) + 1
    return count


@given(VALUES, VALUES)
def test_two_values_share_their_bytes_only_where_they_are_one(one: Any, other: Any) -> None:
    assert (encoded(one) == encoded(other)) == (oracle(one) == oracle(other))


@given(st.lists(VALUES, max_size=2), st.lists(VALUES, max_size=2))
def test_two_calls_share_a_key_only_where_they_are_one(one: list[Any], other: list[Any]) -> None:
    @Suite().cached("short")
    def function(*values: Any) -> None: ...

    keys = [function._memo.key(tuple(values), {}) for values in (one, other)]
    same = oracle(one) == oracle(other)
    assert (keys[0] == keys[1]) == same
    assert (frame(keys[0]) == frame(keys[1])) == same


@pytest.mark.parametrize(
    "distinct",
    [
        (True, 1, 1.0, "1", b"1", Decimal(1), Level.LOW),
        (0.0, -0.0, 0, False, None, ""),
        (Decimal("1.0"), Decimal("1.00")),
        ([1, 2], (1, 2), {1, 2}, frozenset({1, 2}), {1: 2}, [[1], 2], [1, [2]], [12]),
        (("ab", "c"), ("a", "bc"), ("abc",), ("abc", "")),
        ({"a": "b"}, {"b": "a"}, {"a": None}, {"ab": ""}),
        (Colour.RED, Colour.BLUE, Right.READ, 1, "RED"),
        (Path("a"), PurePosixPath("a"), "a"),
        (UUID(int=1), UUID(int=1).bytes, str(UUID(int=1))),
        (date(2026, 1, 1), datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)),  # noqa: DTZ001
        (
            datetime(2026, 1, 1, tzinfo=UTC),
            datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")),
            datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/London")),
            datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        ),
        (time(1), time(1, fold=1), time(1, tzinfo=UTC), timedelta(hours=1)),
    ],
)
def test_what_is_alike_but_not_the_same_has_keys_of_its_own(distinct: tuple[Any, ...]) -> None:
    assert len({encoded(value) for value in distinct}) == len(distinct)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({8, 0, 16}, {16, 8, 0}),
        (math.nan, -math.nan),
        ("a" * 3, "aaa"),
    ],
)
def test_order_and_identity_do_not_matter_where_they_mean_nothing(one: Any, other: Any) -> None:
    assert encoded(one) == encoded(other)


# Spelling


def shapes() -> list[Callable[..., Any]]:
    def plain(a: Any, b: Any = 2, c: Any = 3) -> None: ...
    def keywords(a: Any, *, b: Any = 2, c: Any = 3) -> None: ...
    def only(a: Any, /, b: Any = 2, *, c: Any = 3) -> None: ...
    def more(a: Any, b: Any = 2, c: Any = 3, **more: Any) -> None: ...

    return [plain, keywords, only, more]


@pytest.mark.parametrize("function", shapes(), ids=lambda function: str(function.__name__))
def test_one_call_has_one_key_however_it_is_spelt(function: Callable[..., Any]) -> None:
    parameters = Parameters("f", function, ())
    spellings: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((1,), {}),
        ((1, 2), {}),
        ((1, 2, 3), {}),
        ((1,), {"b": 2}),
        ((1,), {"c": 3, "b": 2}),
        ((1, 2), {"c": 3}),
        ((), {"a": 1}),
        ((), {"c": 3, "a": 1, "b": 2}),
    ]
    keys = set()
    for args, kwargs in spellings:
        try:
            function(*args, **kwargs)
        except TypeError:
            with pytest.raises(TypeError):
                parameters.bind(args, kwargs)
        else:
            keys.add(parameters.encoded(parameters.bind(args, kwargs)))
    assert len(keys) == 1


@given(
    st.lists(st.integers(), max_size=4),
    st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.integers()),
)
def test_a_call_is_bound_as_the_function_binds_it(args: list[int], kwargs: dict[str, int]) -> None:
    def function(a: int, b: int = 2, *, c: int = 3) -> dict[str, int]:
        return {"a": a, "b": b, "c": c}

    parameters = Parameters("f", function, ())
    try:
        expected = function(*args, **kwargs)
    except TypeError:
        with pytest.raises(TypeError):
            parameters.bind(tuple(args), kwargs)
    else:
        assert dict(parameters.bind(tuple(args), kwargs)) == expected


def test_more_arguments_are_part_of_the_key() -> None:
    suite = Suite()

    @suite.cached("short")
    def function(*values: int, **named: int) -> list[Any]:
        return [list(values), named]

    assert function(1, 2) == [[1, 2], {}]
    assert function(12) == [[12], {}]
    assert function(1, a=2) == [[1], {"a": 2}]
    assert function(1, a=2, b=3) == function(1, b=3, a=2)


def test_names_are_part_of_the_key() -> None:
    suite = Suite()

    @suite.cached("short")
    def function(a: int = 0, b: int = 0) -> list[int]:
        return [a, b]

    assert function(a=1) == [1, 0]
    assert function(b=1) == [0, 1]


def test_a_long_key_is_a_digest() -> None:
    @Suite().cached("short")
    def function(text: str) -> str:
        return text

    short, long, longer = (function._memo.key(("x" * n,), {}) for n in (10, 100_000, 100_001))
    assert len(frame(long)) < 200
    assert len({short, long, longer}) == 3


def test_the_key_of_a_function_is_none_of_a_response() -> None:
    @Suite().cached("short")
    def function(a: int) -> int:
        return a

    key = function._memo.key((1,), {})
    # A response's begins with the text of a scheme, a variant's with a tuple.
    assert key[0] == b"function"
    assert frame(key).startswith(b"b8:function")


# What makes no key


class Thing:
    def __repr__(self) -> str:
        return "same"

    def __hash__(self) -> int:
        return 1


@pytest.mark.parametrize(
    "value",
    [Thing(), object(), Thing, len, [Thing()], {"a": Thing()}, {Thing()}, 1j, bytearray(b""),
     Text("a"), range(3), math, iter([])],
    ids=told,
)  # fmt: skip
def test_what_makes_no_key_is_refused_by_name(value: Any) -> None:
    @Suite().cached("short")
    def function(things: Any) -> None: ...

    with pytest.raises(UnkeyableArgument) as raised:
        function(things=value)
    assert isinstance(raised.value, APSPerfError | TypeError)
    for words in ("test_keys", "function", "'things'", "ignore=('things',)", "key=", "UUID"):
        assert words in str(raised.value)
    assert type(value).__qualname__ in str(raised.value)


def test_an_enum_that_is_not_found_by_its_name_is_refused() -> None:
    class Colour(Enum):
        RED = 1

    with pytest.raises(UnkeyableArgument, match="not found under its name"):
        Suite().cached("short")(lambda colour: None)(Colour.RED)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x" * (MOST_BYTES + 1), "bytes"),
        (b"x" * (MOST_BYTES + 1), "bytes"),
        (["x" * (MOST_BYTES // 2)] * 3, "bytes"),
        ([0] * (MOST_ITEMS + 1), "items"),
    ],
    ids=["str", "bytes", "list of str", "list"],
)
def test_what_is_too_large_is_refused(value: Any, words: str) -> None:
    with pytest.raises(UnkeyableArgument, match=f"more than .* {words}"):
        Suite().cached("short")(lambda value: None)(value)


def test_what_is_too_deep_or_holds_itself_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(MOST_DEPTH):
        deep = [deep]
    itself: list[Any] = []
    itself.append(itself)
    function = Suite().cached("short")(lambda value: None)
    for value in (deep, itself):
        with pytest.raises(UnkeyableArgument, match="nested"):
            function(value)


def test_the_ways_out() -> None:
    suite = Suite()

    class Shop:
        def __init__(self, number: int) -> None:
            self.number = number

        @suite.cached("short")
        def neither(self, a: int) -> int:
            return a

        @suite.cached("short", key=lambda arguments: (arguments["self"].number, arguments["a"]))
        def by_key(self, a: int) -> list[int]:
            return [self.number, a]

        @suite.cached("short", ignore=("self",))
        def ignored(self, a: int) -> list[int]:
            return [self.number, a]

        @suite.cached("short", key=lambda arguments: arguments["self"])
        def bad_key(self) -> None: ...

    one, two = Shop(1), Shop(2)
    with pytest.raises(UnkeyableArgument, match="'self'"):
        one.neither(1)
    assert [one.by_key(1), two.by_key(1), Shop(1).by_key(1)] == [[1, 1], [2, 1], [1, 1]]
    assert [one.ignored(1), two.ignored(1), two.ignored(2)] == [[1, 1], [1, 1], [2, 2]]
    with pytest.raises(UnkeyableArgument, match="key= gave"):
        one.bad_key()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ttl": "shortish"}, ["ttl", "'shortish'", "short, medium, long"]),
        ({"ttl": 0}, ["ttl"]),
        ({"ttl": len}, ["ttl", "@suite.cached(ttl=...)"]),
        ({"ttl": 1, "tags": [""]}, ["tags", "''"]),
        ({"ttl": 1, "stale_while_revalidate": -1}, ["stale_while_revalidate", "-1"]),
        ({"ttl": 1, "key": "a"}, ["key", "'a'"]),
        ({"ttl": 1, "ignore": ["b"]}, ["ignore", "'b'", "has: a"]),
    ],
)
def test_options_that_cannot_be_are_refused(options: Any, words: list[str]) -> None:
    with pytest.raises(SettingError) as raised:
        Suite().cached(**options)(lambda a: a)
    for word in words:
        assert word in str(raised.value)


def generator() -> Any:
    yield 1


async def async_generator() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (generator, "generator"),
        (async_generator, "generator"),
        (classmethod(lambda cls: 1), "below it"),
        (staticmethod(lambda: 1), "below it"),
        (len, "made by def"),
        (Thing, "made by def"),
    ],
    ids=["generator", "async generator", "classmethod", "staticmethod", "builtin", "class"],
)
def test_what_is_no_function_is_refused(function: Any, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        Suite().cached("short")(function)
