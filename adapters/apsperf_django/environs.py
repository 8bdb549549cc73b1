"""The environ of a request, which Django changes in place."""

from __future__ import annotations

from typing import Any


def as_served(meta: dict[str, Any]) -> dict[str, Any]:
    """The environ as the server gave it: Django has decoded the path in it (PEP 3333)."""
    path, root = meta["PATH_INFO"], meta.get("SCRIPT_NAME", "")
    if path.isascii() and root.isascii():
        return meta
    return {**meta, "PATH_INFO": undecoded(path), "SCRIPT_NAME": undecoded(root)}


def undecoded(path: str) -> str:
    """The text that stands for the bytes of a path in an environ."""
    return path.encode("utf-8", "surrogateescape").decode("latin-1")
