"""Normal forms of request fields, so that requests which mean the same share a variant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Normaliser = Callable[[bytes], bytes]

_LONGEST = 1024
_LIST_SPACE = re.compile(rb"[ \t]*([,;])[ \t]*")
_WEIGHT = re.compile(rb"q=([01](?:\.[0-9]{0,3})?)")


def spaced(value: bytes) -> bytes:
    """Without the white space round commas and semicolons, which lists may have or not."""
    if len(value) > _LONGEST or b'"' in value:
        return value
    return _LIST_SPACE.sub(rb"\1", value.strip(b" \t"))


def weighted(value: bytes) -> bytes:
    """A list of preferences in lower case, the most wanted first, equals by name.

    For Accept-Encoding and Accept-Language, whose members have no case (RFC 9110 §8.4.1, §8.5.1)
    and whose order means nothing beside their weights (§12.4.2).
    """
    if len(value) > _LONGEST or b'"' in value:
        return value
    members = [_weighed(member) for member in spaced(value.lower()).split(b",") if member]
    return b",".join(_written(name, weight) for weight, name in sorted(members))


def first_choice(value: bytes) -> bytes | None:
    """The one member that is wanted more than all others, in lower case; None for a draw."""
    if len(value) > _LONGEST or b'"' in value:
        return None
    members = [member for member in spaced(value.lower()).split(b",") if member]
    ranked = sorted((_weight(member), member.partition(b";")[0]) for member in members)
    if not ranked or ranked[0][0] == 0 or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]):
        return None
    return ranked[0][1]


def _weight(member: bytes) -> float:
    """Its weight, negative so that the most wanted sorts first; 1 where none is given."""
    match = _WEIGHT.fullmatch(member.partition(b";")[2])
    return -1.0 if match is None else -float(match[1])


def _weighed(member: bytes) -> tuple[float, bytes]:
    """Sorts before what is less wanted."""
    name, _, parameter = member.partition(b";")
    match = _WEIGHT.fullmatch(parameter)
    if match is None:
        return -1.0, member
    return -float(match[1]), name


def _written(name: bytes, weight: float) -> bytes:
    return name if weight == -1.0 else b"%b;q=%g" % (name, -weight + 0.0)


NORMALISERS: dict[bytes, Normaliser] = {
    b"accept-encoding": weighted,
    b"accept-language": weighted,
}
