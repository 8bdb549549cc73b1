"""A pytest plugin for the frameworks' own test suites: a Suite round every app, and a tally.

Loaded by its bare name, for their tests are a package `tests` too. Without `TRANSPARENCY_WRAP` in
the environment it only tallies, so that both runs differ in nothing else.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from _pytest import monkeypatch

from apsperf_mw import Suite

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

# Tests compare whole heads, so nothing is added; a purge in one process is not for the next one.
# All is observed and traced, into memory: into a provider that a test sets its own spans go alone.
SETTINGS: dict[str, Any] = {
    "cache": {"status_header": False, "purge_file": "none"},
    "exporter": {"kind": "memory", "max_spans": 16},
    "tracing": {"sample_ratio": 1.0},
}
requests: Counter[str] = Counter()
apps: Counter[str] = Counter()
outcomes: dict[str, str] = {}

# Flask's conftest takes this private name from pytest, which has renamed it.
if not hasattr(monkeypatch, "notset"):
    monkeypatch.notset = monkeypatch.NOTSET  # type: ignore[attr-defined]
# Werkzeug's takes a free port by this package, for tests of its server, which are left out.
sys.modules.setdefault("ephemeral_port_reserve", ModuleType("ephemeral_port_reserve"))


def suite() -> Suite:
    """A suite that counts what passes through it."""
    made = Suite(**SETTINGS)
    apps["seen"] += 1
    made.hooks.ends = (*made.hooks.ends, lambda x: requests.update([x.result]))
    return made


def wrap_starlette() -> None:
    """Every app that Starlette's test client is given."""
    from starlette import testclient

    client: Any = testclient.TestClient
    init = client.__init__

    def init_wrapped(self: Any, app: Any, *args: Any, **options: Any) -> None:
        asgi_3 = app if testclient._is_asgi3(app) else testclient._WrapASGI2(app)
        init(self, suite().asgi(asgi_3), *args, **options)

    client.__init__ = init_wrapped


def wrap_flask() -> None:
    """Every app's `wsgi_app`, by the extension."""
    import flask

    from apsperf_flask import APSPerf

    app: Any = flask.Flask
    init = app.__init__

    def init_wrapped(self: Any, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        made = APSPerf(**SETTINGS).init_app(self)
        apps["seen"] += 1
        made.hooks.ends = (*made.hooks.ends, lambda x: requests.update([x.result]))

    app.__init__ = init_wrapped


def wrap_werkzeug() -> None:
    """Every app that Werkzeug's test client or its one function is given."""
    from werkzeug import test

    run: Any = test.run_wsgi_app

    def run_wrapped(app: Any, *args: Any, **options: Any) -> Any:
        return run(suite().wsgi(app), *args, **options)

    test.run_wsgi_app = run_wrapped


WRAPS: dict[str, Callable[[], None]] = {
    "starlette": wrap_starlette,
    "fastapi": wrap_starlette,
    "flask": wrap_flask,
    "werkzeug": wrap_werkzeug,
}
if (wrapped := os.environ.get("TRANSPARENCY_WRAP")) in WRAPS:
    WRAPS[wrapped]()  # Django's runner wraps by `transparent_settings`


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep each test's worst phase."""
    if report.when == "call" or report.outcome != "passed":
        outcomes[report.nodeid] = report.outcome


def pytest_sessionfinish() -> None:
    """Write the tally down."""
    tally = {"outcomes": outcomes, "requests": requests, "apps": apps["seen"]}
    Path(os.environ["TRANSPARENCY_TALLY"]).write_text(json.dumps(tally), "utf-8")
