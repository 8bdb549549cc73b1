"""Django's guards of every form: an outsider never gets an insider's page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler

from apsperf_django import get_suite
from tests.adapters.django_site import project_with
from tests.adapters.support import ASGISite, Pages, WSGISite
from tests.adapters.test_django_guards import MIDDLEWARE, REST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Site = WSGISite | ASGISite

KEY = {"X-Key": "insider"}
SUITE = MIDDLEWARE[0]
GATES = (
    *("permissions", "throttles", "check", "own-base", "own-authentication"),
    *("parent", "decorated", "partial"),
)


@pytest.fixture(params=["wsgi", "asgi"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Site]]:
    from contextlib import ExitStack

    from tests.adapters.django_gates import urls

    with ExitStack() as stack:

        def make(*middleware: str) -> Site:
            more: dict[str, Any] = {"MIDDLEWARE": list(middleware), "REST_FRAMEWORK": REST}
            stack.enter_context(project_with(urls(), **more, LOGIN_URL="/login", APSPERF={}))
            if request.param == "asgi":
                return ASGISite(ASGIHandler(), Pages(), get_suite())
            return WSGISite(WSGIHandler(), Pages(), get_suite())

        yield make


@pytest.mark.parametrize("name", GATES)
def test_whatever_stands_before_a_view_is_a_guard(make: Callable[..., Site], name: str) -> None:
    site = make(*MIDDLEWARE)
    for _ in range(2):
        inside = site.ask(f"/{name}", KEY)
        assert inside.status == 200
        assert not inside.cache.stored
        assert site.ask(f"/{name}").status in {302, 401, 403, 429}


def test_a_user_whom_a_middleware_knows_gets_a_page_of_their_own(
    make: Callable[..., Site],
) -> None:
    site = make(*MIDDLEWARE)
    assert site.ask("/hello", KEY).body == b"hi in"
    first, second = site.ask("/hello"), site.ask("/hello")
    assert first.body == second.body == b"hi out"
    assert second.cache.hit
    assert site.ask("/free").cache.stored


@pytest.mark.parametrize("name", ["setup", "helper", "address", "ninja/ip"])
def test_a_view_that_looks_at_the_clients_address_is_not_shared(
    make: Callable[..., Site], name: str
) -> None:
    site = make(*MIDDLEWARE)
    for _ in range(2):
        asked = site.ask(f"/{name}")
        assert asked.status == 200
        assert not asked.cache.stored
        assert not asked.cache.hit


def test_what_decorates_an_action_is_a_guard(make: Callable[..., Site]) -> None:
    from apsperf_django.guards import guard
    from tests.adapters.django_gates import Action

    make(*MIDDLEWARE)
    assert guard(Action.as_view({"get": "list"})) == "django.contrib.auth.decorators"


def test_a_mark_of_an_action_counts(make: Callable[..., Site]) -> None:
    site = make(SUITE)
    assert site.ask("/marked").cache.stored
    assert site.ask("/marked").cache.hit


@pytest.mark.parametrize("place", [0, 1])
def test_middleware_that_looks_at_views_is_a_guard(make: Callable[..., Site], place: int) -> None:
    names = [SUITE]
    names.insert(place, "tests.adapters.django_gates.Guard")
    site = make(*names)
    for _ in range(2):
        assert site.ask("/setup", KEY).status == 200
        assert site.ask("/setup").status == 403
        assert not site.ask("/free").cache.hit


def test_middleware_that_only_looks_is_none(make: Callable[..., Site]) -> None:
    site = make(SUITE, "tests.adapters.django_gates.Timer")
    site.ask("/free")
    assert site.ask("/free").cache.hit


def test_django_asks_for_a_login_at_every_view(make: Callable[..., Site]) -> None:
    site = make(*MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware")
    assert site.ask("/free", KEY).status == 200
    assert site.ask("/free").status == 302


def test_a_check_names_middleware_that_hits_do_not_pass(make: Callable[..., Site]) -> None:
    from apsperf_django.checks import check_order

    make("tests.adapters.django_gates.Guard", SUITE, "tests.adapters.django_gates.Timer")
    told = {each.id: each.msg for each in check_order()}
    assert "tests.adapters.django_gates.Guard looks at each view" in told["apsperf.W006"]
    assert "Timer" not in told["apsperf.W006"]


TOKEN_PART = (
    """{% load apsperf %}{% cache_tagged "short" part %}{% csrf_token %}{% endcache_tagged %}"""
)
SESSION_PART = """{% load apsperf %}{% cache_tagged "short" own %}{{ request.session.user }}
{% endcache_tagged %}"""


def test_a_part_with_a_token_is_not_kept() -> None:
    from django.http import HttpResponse
    from django.template import engines
    from django.urls import path

    from apsperf_django import cached

    @cached("short")
    def page(request: Any) -> Any:
        return HttpResponse(engines["django"].from_string(TOKEN_PART).render({}, request))

    @cached("short")
    def own(request: Any, user: str) -> Any:
        request.session["user"] = user
        part = engines["django"].from_string(SESSION_PART)
        return HttpResponse(part.render({"request": request}))

    urls = (path("page", page), path("own/<user>", own))
    middleware = [
        *(SUITE, "django.contrib.sessions.middleware.SessionMiddleware"),
        "django.middleware.csrf.CsrfViewMiddleware",
    ]
    with project_with(
        urls, MIDDLEWARE=middleware, APSPERF={}, SESSION_ENGINE=COOKIES, TEMPLATES=PLAIN
    ):
        site = WSGISite(WSGIHandler(), Pages(), get_suite())
        replies = [site.ask("/page") for _ in range(3)]
        assert len({reply.body for reply in replies}) == 3
        assert all("csrftoken" in "".join(reply.lines("set-cookie")) for reply in replies)
        assert not any(reply.cache.stored or reply.cache.hit for reply in replies)
        assert [site.ask(f"/own/{user}").body.strip() for user in ("bob", "eve")] == [
            b"bob",
            b"eve",
        ]


PLAIN = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
COOKIES = "django.contrib.sessions.backends.signed_cookies"
