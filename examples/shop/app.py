"""The shop's application factory."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from apsperf_fastapi import install
from examples.records.database import private_copy

from . import account, catalogue, charts, counters, pages, reviews


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the database for as long as the app runs."""
    with private_copy() as app.state.database:
        yield


def create_app(*, wrapped: bool = True, secret: str = "", demo: bool = False) -> FastAPI:
    """The shop, bare or with the suite round it.

    `secret` seals cookies and tokens; without one they hold as long as the process. `demo` adds
    the counters.
    """
    app = FastAPI(title="Chinook Records", lifespan=lifespan)
    app.state.secret = secret or secrets.token_hex()
    app.state.purge = lambda *_: None
    for part in (pages, catalogue, reviews, charts, account):
        app.include_router(part.router)
    if demo:
        counters.count(app)
    if wrapped:
        app.state.purge = install(app, timing={"server_timing": "on"}).purge
    return app
