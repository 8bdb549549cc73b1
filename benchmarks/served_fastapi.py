"""A FastAPI app that servers load; its path function runs in `bare` and in `observed`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Response

from apsperf_fastapi import install
from apsperf_mw import Suite
from benchmarks.cases import NO_CACHE, QUIET, observed
from benchmarks.contenders import FRESH


def made() -> FastAPI:
    """An album, as JSON."""
    app = FastAPI()

    @app.get("/albums/{number}")
    async def album(number: int, response: Response) -> dict[str, Any]:
        response.headers["cache-control"] = FRESH
        return {"id": number, "title": "Balls to the Wall", "tracks": ["Fast As a Shark"] * 10}

    return app


fastapi_bare = made()
fastapi_hit = made()
install(fastapi_hit, suite=Suite(None, **QUIET))
fastapi_observed = made()
install(fastapi_observed, suite=Suite(None, **observed(0.1), **NO_CACHE))
