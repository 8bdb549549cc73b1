"""Types that MessagePack does not know: each with its code, and how it is written and read."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

_encode = msgspec.msgpack.Encoder().encode
_moment = msgspec.msgpack.Decoder(tuple[str, int, Any]).decode
_length = msgspec.msgpack.Decoder(tuple[int, int, int]).decode


def _zone(zone: tzinfo | None) -> Any:
    """A zone as plain data: by its name, for two may agree now and not in summer."""
    if zone is None:
        return None
    if type(zone) is timezone:
        offset = zone.utcoffset(None)
        name = zone.tzname(None)
        told = None if timezone(offset).tzname(None) == name else name
        return [offset.days, offset.seconds, offset.microseconds, told]
    if type(zone) is ZoneInfo and zone.key:
        return zone.key
    kind = f"{type(zone).__module__}.{type(zone).__qualname__}"
    raise ValueError(f"its zone is {kind}; accepted: datetime.timezone, zoneinfo.ZoneInfo")


def _zone_of(told: Any) -> tzinfo | None:
    if told is None:
        return None
    if isinstance(told, str):
        return ZoneInfo(told)
    days, seconds, microseconds, name = told
    offset = timedelta(days, seconds, microseconds)
    if name is None:
        return timezone(offset) if offset else UTC
    return timezone(offset, name)


def _moment_bytes(value: datetime | time) -> bytes:
    zone = _zone(value.tzinfo)
    return _encode((value.replace(tzinfo=None).isoformat(), value.fold, zone))


def _datetime_of(raw: bytes) -> datetime:
    text, fold, zone = _moment(raw)
    return datetime.fromisoformat(text).replace(fold=fold, tzinfo=_zone_of(zone))


def _time_of(raw: bytes) -> time:
    text, fold, zone = _moment(raw)
    return time.fromisoformat(text).replace(fold=fold, tzinfo=_zone_of(zone))


def _length_bytes(value: timedelta) -> bytes:
    return _encode((value.days, value.seconds, value.microseconds))


# By exact type: a subclass may hold more than its base shows.
KINDS: dict[type, tuple[int, Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    datetime: (10, _moment_bytes, _datetime_of),
    date: (11, lambda value: value.isoformat().encode(), lambda r: date.fromisoformat(r.decode())),
    time: (12, _moment_bytes, _time_of),
    timedelta: (13, _length_bytes, lambda raw: timedelta(*_length(raw))),
    Decimal: (14, lambda value: str(value).encode(), lambda raw: Decimal(raw.decode())),
    UUID: (15, lambda value: value.bytes, lambda raw: UUID(bytes=raw)),
}
