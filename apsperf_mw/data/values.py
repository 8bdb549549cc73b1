"""Values as bytes and back, exactly as they were.

MessagePack, with an extension type for each kind that it does not know. Nothing is pickled, and
nothing that is read can name code to run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec
from msgspec.msgpack import Ext

from apsperf_mw.cache.results import difference
from apsperf_mw.data.kinds import KINDS
from apsperf_mw.errors import APSPerfError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# Deeper values are refused, not cut.
MOST_DEPTH: Final = 64
# Codes of extension types: ours below, the frameworks' from here to 127.
FIRST_FOREIGN: Final = 64
BIG_INT, PAIRS, TUPLE, SET, FROZENSET = range(1, 6)

# What MessagePack keeps as it is.
_ATOMS = frozenset((type(None), bool, int, float, str, bytes))
ACCEPTED = (
    "None, bool, int, float, str, bytes, datetime, date, time, timedelta, Decimal, UUID, and "
    "lists, tuples, sets, frozensets and dicts of these"
)


class UnstorableValue(APSPerfError, TypeError):
    """A value that cannot be kept and given back as it was; the text names its type."""


class BadValue(APSPerfError, ValueError):
    """Bytes that are no value."""


class Kind(NamedTuple):
    """How values of one type become bytes, under which code."""

    code: int
    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes], Any]


class Values(Protocol):
    """A codec; what `pack` gave, `unpack` makes the same value of."""

    def pack(self, value: Any) -> bytes:
        """The value as bytes; raises `UnstorableValue`."""
        ...

    def unpack(self, data: bytes) -> Any:
        """A value of the caller's own; raises `BadValue`."""
        ...


class AnyValues:
    """Keeps plain values, each under its exact type; `more` adds types to the table."""

    def __init__(self, more: Mapping[type, Kind] | None = None) -> None:
        kinds = {**KINDS, **(more or {})}
        self._decode = msgspec.msgpack.Decoder(ext_hook=self._extended).decode
        self._list = msgspec.msgpack.Decoder(list[Any], ext_hook=self._extended).decode
        self._kinds: dict[type, tuple[int, Callable[[Any], bytes]]] = {
            kind: (each[0], each[1]) for kind, each in kinds.items()
        }
        self._unpack: dict[int, Callable[[bytes], Any]] = {
            each[0]: each[2] for each in kinds.values()
        } | {
            BIG_INT: lambda raw: int.from_bytes(raw, "big", signed=True),
            PAIRS: self._pairs,
            TUPLE: lambda raw: tuple(self._list(raw)),
            SET: lambda raw: set(self._list(raw)),
            FROZENSET: lambda raw: frozenset(self._list(raw)),
        }

    def pack(self, value: Any) -> bytes:
        """The value as bytes; raises `UnstorableValue`."""
        try:
            return _encode(value if _is_plain(value, 0) else self._tree(value, 0))
        except OverflowError:  # a whole number of more than 64 bits
            return _encode(_without_big(self._tree(value, 0)))
        except (ValueError, RecursionError) as fault:
            raise UnstorableValue(f"{named(value)} cannot be kept: {fault}") from None

    def unpack(self, data: bytes) -> Any:
        """A value of the caller's own; raises `BadValue`."""
        try:
            return self._decode(data)
        except Exception as fault:  # whatever damaged bytes come to in the types' own readers
            raise BadValue(str(fault)) from None

    def _tree(self, value: Any, depth: int) -> Any:
        """The value as MessagePack keeps it."""
        kind = type(value)
        if kind in _ATOMS:
            return value
        if depth >= MOST_DEPTH:
            raise ValueError(f"it is nested more than {MOST_DEPTH} deep")
        if kind is list:
            return self._parts(value, depth)
        if kind is dict:
            return self._mapping(value, depth)
        if kind in _SEQUENCES:
            return Ext(_SEQUENCES[kind], self._encoded(self._parts(value, depth)))
        known = self._kinds.get(kind)
        if known is None:
            raise UnstorableValue(refusal(value))
        return Ext(known[0], known[1](value))

    def _parts(self, values: Iterable[Any], depth: int) -> list[Any]:
        return [each if type(each) in _ATOMS else self._tree(each, depth + 1) for each in values]

    def _mapping(self, value: dict[Any, Any], depth: int) -> Any:
        if not all(type(key) is str for key in value):
            pairs = [part for pair in value.items() for part in pair]
            return Ext(PAIRS, self._encoded(self._parts(pairs, depth)))
        return dict(zip(value, self._parts(value.values(), depth), strict=True))

    def _encoded(self, tree: Any) -> bytes:
        try:
            return _encode(tree)
        except OverflowError:  # a whole number of more than 64 bits
            return _encode(_without_big(tree))

    def _pairs(self, raw: bytes) -> dict[Any, Any]:
        flat = self._list(raw)
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def _extended(self, code: int, raw: memoryview) -> Any:
        return self._unpack[code](raw.tobytes())


class TypedValues:
    """Keeps values of one type that msgspec knows: a Struct, a dataclass, `list[Album]`."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        try:
            self._decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(kind).decode
        except TypeError as fault:
            raise UnstorableValue(
                f"cache(of=...): {kind!r} given: {fault}; accepted: a type that msgspec decodes"
            ) from None

    def pack(self, value: Any) -> bytes:
        """The value as bytes; raises `UnstorableValue` for what would come back otherwise."""
        data = b""
        try:
            data = _encode(value)
            why = difference(value, self._decode(data))
        except (TypeError, ValueError, OverflowError, RecursionError) as fault:
            why = str(fault)
        if why:
            raise UnstorableValue(
                f"{named(value)} cannot be kept as {self._kind!r} and given back as it was: {why}"
            )
        return data

    def unpack(self, data: bytes) -> Any:
        """A value of the caller's own; raises `BadValue`."""
        try:
            return self._decode(data)
        except Exception as fault:  # a type may have checks of its own
            raise BadValue(str(fault)) from None


_encode = msgspec.msgpack.Encoder().encode
ANY: Final = AnyValues()
_SEQUENCES: dict[type, int] = {tuple: TUPLE, set: SET, frozenset: FROZENSET}


def values_of(kind: Any) -> Values:
    """The codec for values of one type, or of any that it knows where none is given."""
    return ANY if kind is None else TypedValues(kind)


def _is_plain(value: Any, depth: int) -> bool:
    """Whether MessagePack keeps the whole value as it is; quick, for most values are so."""
    kind = type(value)
    if kind is dict:
        for key, each in value.items():
            if type(key) is not str:
                return False
            if type(each) not in _ATOMS and not (depth < MOST_DEPTH and _is_plain(each, depth + 1)):
                return False
        return True
    if kind is list:
        for each in value:
            if type(each) not in _ATOMS and not (depth < MOST_DEPTH and _is_plain(each, depth + 1)):
                return False
        return True
    return kind in _ATOMS


def _without_big(tree: Any) -> Any:
    """The same with whole numbers of more than 64 bits as extensions."""
    kind = type(tree)
    if kind is int:
        return tree if -(2**63) <= tree < 2**64 else _big(tree)
    if kind is list:
        return [_without_big(each) for each in tree]
    if kind is dict:
        return {key: _without_big(each) for key, each in tree.items()}
    return tree


def _big(value: int) -> Ext:
    return Ext(BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def named(value: object) -> str:
    """The name of the value's type, as an error shows it."""
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def refusal(value: object) -> str:
    """Why a value of this type is not kept, and what is."""
    return (
        f"{named(value)} cannot be kept: nothing is pickled; accepted: {ACCEPTED}. For a Struct or "
        "a dataclass take suite.cache(..., of=...); of anything else keep the parts"
    )
