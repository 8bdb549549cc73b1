"""What commands print, whatever runs them."""

from __future__ import annotations


def as_json(told: object) -> str:
    """One JSON value, indented."""
    from msgspec import json

    return json.format(json.encode(told), indent=2).decode()
