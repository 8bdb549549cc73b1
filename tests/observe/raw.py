"""Requests as servers hand them over, where the both-shell harness would say too much."""

from __future__ import annotations

import asyncio
from typing import Any


def scope(**changes: Any) -> dict[str, Any]:
    """An ASGI scope of a plain request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"host", b"shop.test")],
        "client": ("192.0.2.1", 50000),
        "server": ("10.0.0.1", 8000),
        **changes,
    }


def ask(app: Any, **changes: Any) -> list[Any]:
    """What the app sends for one connection."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope(**changes), receive, send))
    return sent
