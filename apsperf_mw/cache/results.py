"""Results of functions: how one is kept so that every caller gets its own.

A result is kept as MessagePack and decoded for each caller, about 0.4 us for a small one. In this
process one that nobody can change is kept as it is. What would not come back as it was is refused.
"""

from __future__ import annotations

import math
import sys
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_type_hints
from uuid import UUID

import msgspec
from msgspec import Struct

from apsperf_mw.cache.epoch import ALONE
from apsperf_mw.errors import APSPerfError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from apsperf_mw.cache.epoch import Epoch

# The first field of every frame; a frame of another version is a miss.
FRAME_VERSION = 2
# What the objects of one result take beside its value, measured on CPython 3.11.
OVERHEAD_BYTES = 320

# What stands for a result, in one byte of its frame.
KEPT, TYPED, PLAIN = range(3)
# How a result may come back, the best way first: its form, and whether numbers keep their type.
WAYS = ((TYPED, True), (PLAIN, True), (TYPED, False))


class UnstorableResult(APSPerfError, TypeError):
    """A function returned what cannot be kept and given back as it was."""


class Result(Struct, gc=False, eq=False):
    """A kept result; instants are seconds of the process's monotonic clock.

    `value` is the result itself where `form` is KEPT, else its bytes. `began` is the tag clock
    when its call began.
    """

    form: int
    value: Any
    size_bytes: int
    fresh_until: float
    stale_until: float
    tags: tuple[str, ...] = ()
    began: int = 0


class ResultFrame(Struct, array_like=True, tag="r", forbid_unknown_fields=True):
    """A result as it leaves the process: instants of the wall clock."""

    version: int
    form: int
    data: bytes
    made_at: float
    fresh_s: float
    stale_s: float
    tags: tuple[str, ...]
    generation: bytes
    began: int


_encode_frame = msgspec.msgpack.Encoder().encode
_decode_frame = msgspec.msgpack.Decoder(ResultFrame).decode


def frozen(result: Result, now: float, wall: float, epoch: Epoch = ALONE) -> bytes:
    """The result's frame."""
    fresh_s, stale_s = result.fresh_until - now, result.stale_until - now
    began = max(result.began - epoch.base, -1)
    return _encode_frame(
        ResultFrame(
            FRAME_VERSION,
            result.form,
            result.value,
            wall,
            fresh_s,
            stale_s,
            result.tags,
            epoch.generation,
            began,
        )
    )


def thawed(frame: bytes, now: float, wall: float, epoch: Epoch = ALONE) -> Result | None:
    """The result of a frame, or None where it is not one of ours or not of this version.

    One whose clock ran ahead is taken as made now.
    """
    try:
        found = _decode_frame(frame)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    sound = found.version == FRAME_VERSION and found.form in (TYPED, PLAIN)
    if not sound or not 0 <= found.fresh_s <= found.stale_s < math.inf:
        return None
    made = now - max(wall - found.made_at, 0.0)
    if not math.isfinite(made):
        return None
    size = len(found.data)
    until = made + found.fresh_s, made + found.stale_s
    began = epoch.clock(found.generation, found.began)
    return Result(found.form, found.data, size, *until, found.tags, began)


class Codec:
    """How one function's results become bytes and come back."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name = name
        self._function = function

    def packed(self, value: object, most_bytes: int) -> tuple[int, bytes] | None:
        """The form and the bytes, or None where they are too many; raises `UnstorableResult`."""
        try:
            data = _encode(value)
            if len(data) > most_bytes:
                return None
            form, why = self._returning(value, data)
        except (TypeError, ValueError, OverflowError) as fault:
            raise self._unstorable(value, str(fault)) from fault
        except RecursionError:
            raise self._unstorable(value, "it is nested too deep") from None
        if why:
            raise self._unstorable(value, why)
        return form, data

    def unpacked(self, form: int, data: bytes) -> Any:
        """The result; raises `msgspec.DecodeError` or `ValueError` for what it is not."""
        return self._typed(data) if form == TYPED else _decode(data)

    def _returning(self, value: object, data: bytes) -> tuple[int, str]:
        """The form in which it comes back as it was; or that none does, and why.

        An int in the place of an announced float may come back as a float, if nothing else helps.
        """
        first = ""
        for form, exact in WAYS:
            why = self._difference(value, data, form, exact=exact)
            if not why:
                return form, ""
            first = first or why
        return TYPED, first

    def _difference(self, value: object, data: bytes, form: int, *, exact: bool) -> str:
        try:
            return difference(value, self.unpacked(form, data), exact=exact)
        except (msgspec.DecodeError, ValueError, TypeError) as fault:
            return str(fault) or type(fault).__name__

    @cached_property
    def _typed(self) -> Callable[[bytes], Any]:
        """Decodes into the return annotation, where there is one that can be decoded into."""
        try:
            kind = get_type_hints(self._function, include_extras=True)["return"]
            return msgspec.msgpack.Decoder(kind).decode
        except Exception:  # whatever the names in the annotation come to
            return _decode

    def _unstorable(self, value: object, why: str) -> UnstorableResult:
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        return UnstorableResult(
            f"{self._name} returned {kind}, which cannot be kept and given back as it was: {why}. "
            "Accepted: what msgspec encodes; annotate the return type, so that tuples, sets, "
            "dataclasses, dates and the like come back as they were"
        )


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def difference(value: Any, back: Any, *, exact: bool = True) -> str:
    """In what way something came back otherwise than it was; empty if in none."""
    kind = type(value)
    if kind is not type(back):
        if not exact and kind is int and type(back) is float and value == back:
            return ""
        return f"{kind.__name__} comes back as {type(back).__name__}"
    if kind is dict:
        value, back = list(value.items()), list(back.items())
    if isinstance(value, list | tuple):
        if len(value) != len(back):
            return f"{kind.__name__} comes back with another length"
        return _first(zip(value, back, strict=True), exact=exact)
    if (names := _field_names(value)) is not None:
        return _first(((getattr(value, n), getattr(back, n, None)) for n in names), exact=exact)
    return "" if _alike(value, back, kind) else f"{kind.__name__} comes back with another value"


def _first(pairs: Iterable[tuple[Any, Any]], *, exact: bool) -> str:
    return next(filter(None, (difference(value, back, exact=exact) for value, back in pairs)), "")


def _alike(value: Any, back: Any, kind: type) -> bool:
    if kind is set or kind is frozenset:
        return value == back and set(map(type, value)) == set(map(type, back))
    if kind is datetime or kind is time:
        return value == back and (value.tzinfo, value.fold) == (back.tzinfo, back.fold)
    if kind is Decimal:
        return str(value) == str(back)
    return bool(value == back) or bool(value != value and back != back)


def _field_names(value: Any) -> tuple[str, ...] | None:
    """The names of what a dataclass, Struct or attrs object holds."""
    if isinstance(value, Struct):
        return value.__struct_fields__
    if is_dataclass(value):
        return tuple(field.name for field in fields(value))
    attributes = getattr(type(value), "__attrs_attrs__", None)
    return None if attributes is None else tuple(each.name for each in attributes)


_ATOMS = frozenset(
    (type(None), bool, int, float, str, bytes, date, datetime, time, timedelta, Decimal, UUID)
)


def size_if_fixed(value: Any) -> int | None:
    """What a value takes in memory if nobody can change it or a part of it, else None."""
    kind = type(value)
    if kind in _ATOMS:
        return sys.getsizeof(value)
    if isinstance(value, Enum):
        return 0
    parts = _fixed_parts(value, kind)
    if parts is None:
        return None
    total = sys.getsizeof(value)
    for part in parts:
        size = size_if_fixed(part)
        if size is None:
            return None
        total += size
    return total


def _fixed_parts(value: Any, kind: type) -> Iterator[Any] | None:
    """The parts of something whose parts stay the same ones."""
    named_tuple = isinstance(value, tuple) and not hasattr(value, "__dict__")
    if kind is frozenset or named_tuple:
        return iter(value)  # type: ignore[no-any-return]
    is_frozen_struct = isinstance(value, Struct) and kind.__struct_config__.frozen  # type: ignore[attr-defined]
    if is_frozen_struct or (is_dataclass(value) and kind.__dataclass_params__.frozen):  # type: ignore[attr-defined]
        return (getattr(value, name) for name in _field_names(value) or ())
    return None
