"""A WSGI app whose suite knows a database and has sent it a statement."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from sqlalchemy import create_engine, text

from apsperf_mw import Suite

suite = Suite()
engine = suite.database().attach(create_engine(f"sqlite:///{os.environ['SHOP']}"))
with engine.connect() as connection:
    connection.execute(text("SELECT * FROM customer WHERE email = :email"), {"email": "a@b"})


def app(_: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x"]


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})


wsgi = suite.wsgi(app)
asgi = suite.asgi(asgi_app)
