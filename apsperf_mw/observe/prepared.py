"""How many statements were prepared, and how many executions found theirs so."""

from __future__ import annotations

from msgspec import Struct


class Prepared(Struct):
    """Of all connections that are heard of, since the first."""

    made: int = 0
    used: int = 0
