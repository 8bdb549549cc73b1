"""What is likely to be typed wrong is said at once, and leaves nothing half done."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask

from apsperf_fastapi import SuiteMiddleware, cached, install
from apsperf_flask import APSPerf
from apsperf_mw import SettingError, Suite

# What types would not let pass.
any_cached: Any = cached
any_install: Any = install
any_middleware: Any = SuiteMiddleware


def view() -> str:
    return "x"


def again() -> None:
    app = Flask("x")
    APSPerf(app)
    APSPerf(app, cache={"enabled": False})


def without() -> object:
    with Flask("bare").app_context():
        return APSPerf().suite


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (lambda: any_cached(view), "given; accepted: a class, seconds, or a function"),
        (lambda: any_cached(lambda request, number: 60)("no view"), "with brackets"),
        (lambda: any_cached(60, statuses={404}), "statuses=.*a mapping"),
        (lambda: any_install(FastAPI(), Suite(), cache={}), "given beside cache"),
        (lambda: any_install(FastAPI(), {"cache": {}}), "accepted: a Suite"),
        (lambda: any_middleware(FastAPI(), suite="x"), "suite: .x. given; accepted: a Suite"),
        (again, "cache: given, but the app has its suite already"),
        (without, "it has no suite"),
    ],
)
def test_what_is_meant_otherwise_is_said(run: Any, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        run()


def test_an_app_that_was_refused_is_as_before() -> None:
    app = FastAPI()
    with pytest.raises(SettingError):
        any_install(app, {})
    assert isinstance(install(app), Suite)
