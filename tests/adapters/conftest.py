"""The site in each stack in turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from tests.adapters.support import Site
from tests.core.conftest import Clock, stop_clocks

STACKS = ("starlette", "fastapi", "flask", "django-wsgi", "django-asgi")


class Make(Protocol):
    """Makes the site, bare or with a suite of these settings."""

    stack: str

    def __call__(self, *, bare: bool = False, **settings: Any) -> Site: ...


class Maker:
    def __init__(self, stack: str, opened: ExitStack) -> None:
        self.stack = stack
        self._opened = opened

    def __call__(self, *, bare: bool = False, **settings: Any) -> Site:
        if self.stack.startswith("django"):
            from tests.adapters import django_site

            is_async = self.stack == "django-asgi"
            made = django_site.make(is_async=is_async, bare=bare, **settings)
            return self._opened.enter_context(made)
        if self.stack == "flask":
            from tests.adapters import flask_site

            return flask_site.make(bare=bare, **settings)
        if self.stack == "fastapi":
            from tests.adapters import fastapi_site

            return fastapi_site.make(bare=bare, **settings)
        from tests.adapters import starlette_site

        return starlette_site.make(bare=bare, **settings)


@pytest.fixture(params=STACKS)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    with ExitStack() as opened:
        yield Maker(request.param, opened)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return stop_clocks(monkeypatch, "apsperf_django.exchanges")


@pytest.fixture
def site(make: Make) -> Site:
    return make()
