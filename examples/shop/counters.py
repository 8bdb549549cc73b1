"""What the demo asks each shop: how often the app was called, how many SQL statements it sent."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import FastAPI

PATH = "/-/demo/counters"

Scope = MutableMapping[str, Any]
ASGIApp = Callable[[Scope, Any, Any], Awaitable[None]]


class CallCounter:
    """Middleware inside the suite, so that it sees what reaches the app."""

    def __init__(self, app: ASGIApp, counted: "Counters") -> None:
        self.app = app
        self.counted = counted

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Count the request unless it asks for the counters."""
        if scope["type"] == "http" and scope["path"] != PATH:
            self.counted.app_calls += 1
        await self.app(scope, receive, send)


class Counters:
    """The counters of one app."""

    def __init__(self) -> None:
        self.app_calls = 0


def count(app: FastAPI) -> None:
    """Count in this app, and tell at `PATH`."""
    counted = Counters()
    app.add_middleware(CallCounter, counted=counted)

    @app.get(PATH, include_in_schema=False)
    async def counters() -> dict[str, int]:
        return {"app_calls": counted.app_calls, "sql_statements": app.state.database.statements}
