"""The environ of a request, which Django changes in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.revival import CONDITIONS
from apsperf_mw.cache.screen import environ_name

if TYPE_CHECKING:
    from collections.abc import Mapping

CONDITIONAL = tuple(environ_name(name.decode("ascii")) for name in CONDITIONS)
"""The variables of conditional fields."""


def as_served(meta: dict[str, Any]) -> dict[str, Any]:
    """The environ as the server gave it: Django has decoded the path in it (PEP 3333)."""
    path, root = meta["PATH_INFO"], meta.get("SCRIPT_NAME", "")
    if path.isascii() and root.isascii():
        return meta
    return {**meta, "PATH_INFO": undecoded(path), "SCRIPT_NAME": undecoded(root)}


def undecoded(path: str) -> str:
    """The text that stands for the bytes of a path in an environ."""
    return path.encode("utf-8", "surrogateescape").decode("latin-1")


def put(meta: dict[str, Any], values: Mapping[str, object]) -> None:
    """Set the variables, and take those out that have no value."""
    for name, value in values.items():
        if value is None:
            meta.pop(name, None)
        else:
            meta[name] = value
