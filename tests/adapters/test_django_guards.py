"""Nobody gets past a guard of Django's by a hit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler

from apsperf_django import get_suite
from tests.adapters.django_site import project_with
from tests.adapters.support import ASGISite, Pages, WSGISite

if TYPE_CHECKING:
    from collections.abc import Iterator

    Site = WSGISite | ASGISite

KEY = "insider"
MIDDLEWARE = ["apsperf_django.middleware.SuiteMiddleware", "tests.adapters.django_guarded.by_key"]
REST = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
}
GUARDED = (
    "function",
    "tested",
    "mixed",
    "dispatched",
    "method",
    "rest",
    "known",
    "throttled",
    "ninja/in",
)


@pytest.fixture(params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    from tests.adapters.django_guarded import urls

    more: dict[str, Any] = {
        "MIDDLEWARE": MIDDLEWARE,
        "REST_FRAMEWORK": REST,
        "LOGIN_URL": "/login",
        "APSPERF": {},
    }
    with project_with(urls(), **more):
        if request.param == "asgi":
            yield ASGISite(ASGIHandler(), Pages(), get_suite())
        else:
            yield WSGISite(WSGIHandler(), Pages(), get_suite())


@pytest.mark.parametrize("name", GUARDED)
def test_djangos_guards_hold(site: Site, name: str) -> None:
    for _ in range(2):
        inside = site.ask(f"/{name}", {"X-Key": KEY})
        assert inside.status == 200
        assert not inside.cache.stored
        assert not inside.cache.hit
        assert site.ask(f"/{name}").status in {302, 401, 403, 429}


def test_who_says_that_a_guarded_page_is_for_all_has_it_shared(site: Site) -> None:
    assert site.ask("/for-all", {"X-Key": KEY}).cache.stored
    assert site.ask("/for-all").cache.hit


def test_a_view_without_a_guard_is_stored(site: Site) -> None:
    site.ask("/free")
    assert site.ask("/free").cache.hit


@pytest.mark.parametrize("name", ["address", "near", "address/class"])
def test_a_view_that_looks_at_the_clients_address_is_not_shared(site: Site, name: str) -> None:
    for _ in range(2):
        reply = site.ask(f"/{name}")
        assert reply.status == 200
        assert not reply.cache.stored
        assert not reply.cache.hit
