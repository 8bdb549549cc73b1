"""The shop's application factory."""

from __future__ import annotations

import secrets
import weakref
from contextlib import ExitStack

from flask import Flask

from examples.records.database import private_copy

from . import account, catalogue, pages, reviews
from .parts import close_session, perf


def create_app(*, secret: str = "") -> Flask:
    """The shop with the suite round it.

    `secret` seals cookies and tokens; without one they hold as long as the process.
    """
    app = Flask(__name__)
    app.secret_key = secret or secrets.token_hex()
    app.config["APSPERF_TIMING"] = {"server_timing": "on"}
    app.config.from_prefixed_env()
    keep = ExitStack()
    app.extensions["records"] = keep.enter_context(private_copy())
    weakref.finalize(app, keep.close)
    for part in (pages, catalogue, reviews, account):
        app.register_blueprint(part.blueprint)
    app.teardown_appcontext(close_session)
    perf.init_app(app)
    return app
