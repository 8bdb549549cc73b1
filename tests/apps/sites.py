"""Apps that nobody here wrote, as they come and with a suite round them; for servers to load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apsperf_mw import Suite

CHINOOK = Path(__file__).resolve().parents[2] / "examples" / "data" / "chinook.sqlite"


def bare_datasette() -> Any:
    from datasette.app import Datasette

    settings = {"default_cache_ttl": 60}
    return Datasette(immutables=[str(CHINOOK)], settings=settings, secret="secret").app()


def wrapped_datasette() -> Any:
    return Suite().asgi(bare_datasette())


def bare_httpbin() -> Any:
    from httpbin import app

    return app


def wrapped_httpbin() -> Any:
    return Suite().wsgi(bare_httpbin())
