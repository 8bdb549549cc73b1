"""Keys of calls: a function's bound arguments as bytes, each part behind its type and length.

Nothing is taken from `repr`, `hash` or `id`: they differ between processes, or are alike where the
values are not. Only exact types count, for a subclass may hold more than its base shows.
"""

from __future__ import annotations

import sys
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from inspect import Parameter, signature
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from struct import pack
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from apsperf_mw.errors import APSPerfError, SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# Deeper or larger arguments are refused, not cut.
MOST_DEPTH = 32
MOST_ITEMS = 65_536
MOST_BYTES = 1024 * 1024

ACCEPTED = (
    "None, bool, int, float, str, bytes, Enum, UUID, datetime, date, time, timedelta, Decimal, "
    "Path, and tuples, lists, sets, frozensets and dicts of these"
)


class UnkeyableArgument(APSPerfError, TypeError):
    """A call's arguments make no key."""


class Refusal(Exception):
    """Why a value has no bytes of its own, without the call that it belongs to."""


class Parameters:
    """A function's parameters: binds calls as the function itself would, and keys them."""

    def __init__(self, name: str, function: Callable[..., Any], ignore: Iterable[str]) -> None:
        self._name = name
        self._signature = signature(function)
        known = self._signature.parameters
        ignored = (ignore,) if isinstance(ignore, str) else tuple(ignore)
        for each in ignored:
            if each not in known:
                raise SettingError(
                    f"cached(ignore=...): {each!r} given; {name} has: {', '.join(known) or 'none'}"
                )
        self._keyed = [(each, _part(b"p", each.encode())) for each in known if each not in ignored]
        self._plain = not any(_takes_many(each) for each in known.values())
        self._positional = [each.name for each in known.values() if each.kind in _POSITIONAL]
        self._by_name = {each.name for each in known.values() if each.kind in _BY_NAME}
        self._defaults = {
            each.name: each.default
            for each in known.values()
            if each.default is not Parameter.empty
        }
        self._count = len(known)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """All parameters with their values, defaults too; `TypeError` where the call is wrong."""
        if self._plain and not kwargs and len(args) == self._count == len(self._positional):
            return dict(zip(self._positional, args, strict=True))
        if self._plain and len(args) <= len(self._positional):
            bound = dict(zip(self._positional, args, strict=False))
            if not kwargs or (kwargs.keys() <= self._by_name and not kwargs.keys() & bound.keys()):
                bound = {**self._defaults, **bound, **kwargs}
                if len(bound) == self._count:
                    return bound
        slow = self._signature.bind(*args, **kwargs)
        slow.apply_defaults()
        return slow.arguments

    def encoded(self, bound: Mapping[str, Any]) -> bytes:
        """The arguments as bytes; raises `UnkeyableArgument`."""
        parts: list[bytes] = []
        for name, mark in self._keyed:
            try:
                parts += mark, encoded(bound[name])
            except Refusal as refusal:
                raise self._unkeyable(name, bound[name], refusal) from None
        return b"".join(parts)

    def chosen(self, value: object) -> bytes:
        """What a `key` function gave, as bytes; raises `UnkeyableArgument`."""
        try:
            return encoded(value)
        except Refusal as refusal:
            raise UnkeyableArgument(
                f"{self._name}: key= gave {_kind(value)}: {refusal}; accepted: {ACCEPTED}"
            ) from None

    def _unkeyable(self, name: str, value: object, refusal: Refusal) -> UnkeyableArgument:
        return UnkeyableArgument(
            f"{self._name}: argument {name!r} ({_kind(value)}) is no part of a cache key: "
            f"{refusal}; accepted: {ACCEPTED}. Leave it out with ignore=({name!r},), or make the "
            "key with key=lambda arguments: ..."
        )


_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def _takes_many(parameter: Parameter) -> bool:
    return parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def encoded(value: object, depth: int = 0) -> bytes:
    """The value as bytes that no other value has; raises `Refusal`."""
    encode = _ENCODE.get(type(value)) or _encode_of(value)
    made = encode(value, depth)
    if len(made) > MOST_BYTES:
        raise Refusal(f"it takes more than {MOST_BYTES} bytes")
    return made


def _part(mark: bytes, raw: bytes) -> bytes:
    return b"%b%d:%b" % (mark, len(raw), raw)


def _encode_of(value: object) -> Callable[[Any, int], bytes]:
    if isinstance(value, Enum):
        return _enum
    raise Refusal(f"{_kind(value)} has no form that tells its values apart")


def _int(value: int, _: int) -> bytes:
    return b"i%x;" % value


def _float(value: float, _: int) -> bytes:
    return b"fnan;" if value != value else b"f" + pack(">d", value)


def _str(value: str, _: int) -> bytes:
    if len(value) > MOST_BYTES:
        raise Refusal(f"it takes more than {MOST_BYTES} bytes")
    return _part(b"s", value.encode("utf-8", "surrogatepass"))


def _bytes(value: bytes, _: int) -> bytes:
    if len(value) > MOST_BYTES:
        raise Refusal(f"it takes more than {MOST_BYTES} bytes")
    return _part(b"b", value)


def _items(values: Any, depth: int) -> list[bytes]:
    if depth >= MOST_DEPTH:
        raise Refusal(f"it is nested more than {MOST_DEPTH} deep")
    if len(values) > MOST_ITEMS:
        raise Refusal(f"it holds more than {MOST_ITEMS} items")
    made, room = [], MOST_BYTES
    for value in values:
        made.append(encoded(value, depth + 1))
        room -= len(made[-1])
        if room < 0:
            raise Refusal(f"it takes more than {MOST_BYTES} bytes")
    return made


def _tuple(value: tuple[Any, ...], depth: int) -> bytes:
    return _part(b"t", b"".join(_items(value, depth)))


def _list(value: list[Any], depth: int) -> bytes:
    return _part(b"l", b"".join(_items(value, depth)))


def _set(value: set[Any], depth: int) -> bytes:
    return _part(b"e", b"".join(sorted(_items(value, depth))))


def _frozenset(value: frozenset[Any], depth: int) -> bytes:
    return _part(b"z", b"".join(sorted(_items(value, depth))))


def _dict(value: dict[Any, Any], depth: int) -> bytes:
    pairs = zip(_items(value.keys(), depth), _items(value.values(), depth), strict=True)
    return _part(b"m", b"".join(sorted(map(b"".join, pairs))))


def _enum(value: Enum, depth: int) -> bytes:
    """By the names of class and member; a flag by its value, for its members combine."""
    kind = type(value)
    name = f"{kind.__module__}:{kind.__qualname__}"
    found: Any = sys.modules.get(kind.__module__)
    for step in kind.__qualname__.split("."):
        found = getattr(found, step, None)
    if found is not kind:
        raise Refusal(f"Enum {name} is not found under its name, which others may bear too")
    if not isinstance(value, Flag) and kind.__members__.get(value.name) is not value:
        raise Refusal(f"it is no member of {name}")
    member = value.value if isinstance(value, Flag) else value.name
    return _part(b"E", _str(name, 0) + encoded(member, depth + 1))


def _uuid(value: UUID, _: int) -> bytes:
    return b"U" + value.bytes


def _decimal(value: Decimal, _: int) -> bytes:
    return _part(b"D", str(value).encode())


def _path(value: PurePosixPath | PureWindowsPath, _: int) -> bytes:
    return _part(
        b"P", type(value).__name__.encode() + b" " + str(value).encode("utf-8", "surrogatepass")
    )


def _date(value: date, _: int) -> bytes:
    return _part(b"d", value.isoformat().encode())


def _datetime(value: datetime, _: int) -> bytes:
    local = value.replace(tzinfo=None).isoformat().encode()
    return _part(b"w", b"%b;%d;%b" % (local, value.fold, _zone(value.tzinfo)))


def _time(value: time, _: int) -> bytes:
    local = value.replace(tzinfo=None).isoformat().encode()
    return _part(b"h", b"%b;%d;%b" % (local, value.fold, _zone(value.tzinfo)))


def _zone(zone: object) -> bytes:
    """A zone by its name, for two may agree now and not in summer."""
    if zone is None:
        return b""
    if type(zone) is timezone:
        return _timedelta(zone.utcoffset(None), 0) + _str(zone.tzname(None), 0)
    if type(zone) is ZoneInfo and zone.key:
        return _str(zone.key, 0)
    raise Refusal(f"its zone is a {_kind(zone)}; accepted: datetime.timezone, zoneinfo.ZoneInfo")


def _timedelta(value: timedelta, _: int) -> bytes:
    return b"T%d,%d,%d;" % (value.days, value.seconds, value.microseconds)


_ENCODE: dict[type, Callable[[Any, int], bytes]] = {
    type(None): lambda _, __: b"n",
    bool: lambda value, _: b"y1" if value else b"y0",
    int: _int,
    float: _float,
    str: _str,
    bytes: _bytes,
    tuple: _tuple,
    list: _list,
    set: _set,
    frozenset: _frozenset,
    dict: _dict,
    UUID: _uuid,
    Decimal: _decimal,
    date: _date,
    datetime: _datetime,
    time: _time,
    timedelta: _timedelta,
    **dict.fromkeys((PosixPath, PurePosixPath, WindowsPath, PureWindowsPath), _path),
}


def _kind(value: object) -> str:
    kind = type(value)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
