"""What Django users get besides the cache: checks, commands, tags, marks on classes, `wrap`."""

from __future__ import annotations

import json
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import CommandError, call_command
from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine, TemplateSyntaxError
from django.test import override_settings
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from django.views import View

from apsperf_django import cached, get_suite, wrap
from apsperf_mw.errors import SettingError
from tests.adapters.django_site import OURS, SESSIONS, project_with
from tests.adapters.support import FOR_ALL, ASGISite, Pages, WSGISite
from tests.observe.support import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Site = WSGISite | ASGISite

CSRF = "django.middleware.csrf.CsrfViewMiddleware"
GZIP = "django.middleware.gzip.GZipMiddleware"
CACHES = "django.middleware.cache.UpdateCacheMiddleware"

pages = Pages()


class Marked(View):
    @cached("short", tags=["marked"])
    def get(self, request: HttpRequest) -> HttpResponse:
        return page("marked")


@cached("medium")
class Whole(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return page("whole")


class Below(Whole):
    """Has its parent's mark."""


@method_decorator(cached("long"), name="dispatch")
class Dispatched(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return page("dispatched")


def page(name: str, **more: Any) -> HttpResponse:
    return HttpResponse(pages.turn(name).encode(), **more)


@cached("long", tags=["about"])
def about(request: HttpRequest, number: int = 0) -> HttpResponse:
    return page("about")


@cached("long", shared=True)
def form(request: HttpRequest) -> HttpResponse:
    from django.middleware.csrf import get_token

    return HttpResponse(get_token(request).encode(), headers=FOR_ALL)


def used(request: Any) -> HttpResponse:
    request.session["name"] = "ann"
    return page("used", headers=FOR_ALL)


def ninja() -> Any:
    from ninja import NinjaAPI

    api = NinjaAPI(urls_namespace="marked", docs_url=None, openapi_url=None)

    @api.get("/albums")
    @cached("short")
    def albums(request: HttpRequest) -> str:
        return pages.turn("ninja")

    return api


URLS = (
    path("marked", Marked.as_view()),
    path("whole", Whole.as_view()),
    path("below", Below.as_view()),
    path("dispatched", Dispatched.as_view()),
    path("about", about),
    path("about/<int:number>", about),
    path("form", form),
    path("used", used),
)


@contextmanager
def project(**more: Any) -> Iterator[None]:
    pages.calls.clear()
    with project_with((*URLS, path("ninja/", include((ninja().urls[0], "marked")))), **more):
        yield


@pytest.fixture
def site() -> Iterator[WSGISite]:
    with project(APSPERF={}):
        yield WSGISite(WSGIHandler(), pages, get_suite())


@pytest.mark.parametrize("view", ["marked", "whole", "below", "dispatched", "ninja/albums"])
def test_a_mark_counts_wherever_a_class_bears_it(site: WSGISite, view: str) -> None:
    site.ask(f"/{view}")
    assert site.ask(f"/{view}").cache.hit


def test_a_page_with_a_csrf_token_is_for_one_client() -> None:
    with project(APSPERF={"cache": {"store_set_cookie": True}}, MIDDLEWARE=[OURS, CSRF]):
        site = WSGISite(WSGIHandler(), pages, get_suite())
        first, second = site.ask("/form"), site.ask("/form")
        assert first.cache.detail == "private"
        assert first.body != second.body
        cookie = {"Cookie": first.lines("set-cookie")[0].partition(";")[0]}
        assert not site.ask("/form", cookie).cache.hit
        assert not site.ask("/form", cookie).cache.stored


# Checks


def said(*, deploy: bool = False, **more: Any) -> list[str]:
    from django.core.checks import run_checks

    with project(**more):
        found = run_checks(tags=["caches", "security"], include_deployment_checks=deploy)
    return sorted(each.id for each in found if each.id.startswith("apsperf"))


CHECKS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"APSPERF": {"cache": {"patience": 2}}}, ["apsperf.E001"]),
    ({"APSPERF": {"cache": {"patience_s": "long"}}}, ["apsperf.E001"]),
    ({"APSPERF": {"default": "nosuch"}}, ["apsperf.E001"]),
    ({"APSPERF": {"database": {"driver": "nosuch"}}}, ["apsperf.E001"]),
    ({"APSPERF": {"admin": {"enabled": True}}}, ["apsperf.E001"]),
    ({"MIDDLEWARE": [SESSIONS]}, ["apsperf.W001"]),
    ({"MIDDLEWARE": [OURS, OURS]}, ["apsperf.W001"]),
    ({"MIDDLEWARE": [SESSIONS, OURS]}, ["apsperf.W002"]),
    ({"MIDDLEWARE": [OURS, GZIP]}, []),
    ({"MIDDLEWARE": [GZIP, OURS]}, ["apsperf.W002"]),
    ({"MIDDLEWARE": [OURS, CACHES]}, ["apsperf.W003"]),
]


@pytest.mark.parametrize(("settings", "ids"), CHECKS)
def test_checks(settings: dict[str, Any], ids: list[str]) -> None:
    assert said(**settings) == ids


def test_a_check_names_the_setting_and_the_nearest_one() -> None:
    from django.core.checks import run_checks

    with project(APSPERF={"cache": {"patience": 2}}):
        (error,) = [each for each in run_checks(tags=["caches"]) if each.id == "apsperf.E001"]
    assert "cache.patience" in error.msg
    assert "the nearest is cache.patience_s" in error.msg


def test_what_is_open_is_said_before_a_deployment() -> None:
    open_to_all: dict[str, Any] = {
        "admin": {"enabled": True, "token": "0123456789abcdef"},
        "prometheus": {"enabled": True},
    }
    assert said(deploy=True, APSPERF=open_to_all) == ["apsperf.W004", "apsperf.W005"]
    assert said(deploy=True, APSPERF=open_to_all, SECURE_SSL_REDIRECT=True) == ["apsperf.W004"]
    assert said(APSPERF=open_to_all) == []


def test_wrong_settings_are_an_error_where_the_project_is_served() -> None:
    with project(APSPERF={"cache": {"patience": 2}}), pytest.raises(SettingError, match="patience"):
        WSGIHandler()


def test_a_change_of_settings_in_a_test_makes_another_suite() -> None:
    with project(APSPERF={}):
        before = get_suite()
        with override_settings(APSPERF={"cache": {"enabled": False}}):
            assert not get_suite().settings.cache.enabled
        assert get_suite() is not before
        assert get_suite().settings.cache.enabled


# Commands


def command(name: str, *arguments: str) -> str:
    out = StringIO()
    call_command(f"apsperf_{name}", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_the_doctor_lists_routes_and_what_stands_in_their_way() -> None:
    from tests.adapters.django_guarded import function

    urls = (*URLS, path("guarded", cached("short")(function)))
    with project_with(urls, APSPERF={}):
        told = command("doctor")
        assert "ok      GET /about/<int:number>: cached for long, tags about" in told
        assert "warning GET /guarded: marked, but behind django.contrib.auth.decorators" in told
        assert json.loads(command("doctor", "--json"))["findings"]
    with project(APSPERF={"drivers": {"shared": "redis://127.0.0.1:1/0"}}):
        with pytest.raises(SystemExit) as ended:
            command("doctor")
        assert ended.value.code == 1


def test_pages_are_warmed_and_purged(tmp_path: Path) -> None:
    settings = {"cache": {"driver": f"file://{tmp_path}/cache"}}
    with project(APSPERF=settings, ALLOWED_HOSTS=["shop.test"]):
        told = json.loads(command("warm", "--base", "http://shop.test", "--json"))
        assert told["stored"] == 6
        assert pages.calls["about"] == 1
        site = WSGISite(WSGIHandler(), pages, get_suite())
        assert site.ask("/about").cache.hit
        assert command("purge", "about") == "purged\n"
        assert wait_until(lambda: site.ask("/about").body == b"about 2")
        with pytest.raises(CommandError, match="accepted"):
            command("purge")


def test_a_server_that_is_not_there_is_named() -> None:
    admin = {"admin": {"enabled": True, "token": "0123456789abcdef"}}
    with project(APSPERF=admin), pytest.raises(CommandError, match="127.0.0.1:1"):
        command("report", "--server", "http://127.0.0.1:1")


# Parts of templates


def render(template: str, **context: Any) -> str:
    engine = Engine(libraries={"apsperf": "apsperf_django.templatetags.apsperf"})
    made = engine.from_string("{% load apsperf %}" + template)
    return str(made.render(Context({"turn": lambda: pages.turn("part"), **context})))


PART = (
    '{% cache_tagged "short" side user tags="albums, artists" %}'
    "{{ turn }} <b>{{ user }}</b>{% endcache_tagged %}"
)


def test_a_part_is_made_once_for_each_variant(site: WSGISite) -> None:
    assert render(PART, user="ann") == "part 1 <b>ann</b>"
    assert render(PART, user=mark_safe("ann")) == "part 1 <b>ann</b>"
    assert render(PART, user="<i>") == "part 2 <b>&lt;i&gt;</b>"
    assert render(PART, user="<i>") == "part 2 <b>&lt;i&gt;</b>"
    assert render(PART, user=gettext_lazy("ann")) == "part 1 <b>ann</b>"
    get_suite().cache(space="django:fragments").invalidate("artists")
    assert render(PART, user="ann") == "part 3 <b>ann</b>"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% cache_tagged %}{% endcache_tagged %}", "accepted: {% cache_tagged TTL NAME"),
        ("{% cache_tagged 5 %}{% endcache_tagged %}", "accepted: {% cache_tagged TTL NAME"),
        ("{% cache_tagged 5 x time=3 %}{% endcache_tagged %}", "time= given; accepted: stale"),
        ("{% cache_tagged 5 x %}", "endcache_tagged"),
    ],
)
def test_a_tag_that_is_wrong_is_named(template: str, message: str) -> None:
    with pytest.raises(TemplateSyntaxError, match=message):
        render(template)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% cache_tagged 'week' x %}{% endcache_tagged %}", "short, medium, long"),
        ("{% cache_tagged 5 x odd %}{% endcache_tagged %}", "a dict given to tell variants"),
        ("{% cache_tagged 5 x tags=3 %}{% endcache_tagged %}", "tags=3 given"),
    ],
)
def test_a_value_that_is_wrong_is_named(site: WSGISite, template: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        render(template, odd={"a": 1})


# Round the callable


@pytest.fixture(params=["wsgi", "asgi"])
def wrapped(request: pytest.FixtureRequest) -> Iterator[Site]:
    with project(APSPERF={}, MIDDLEWARE=[SESSIONS]):
        if request.param == "wsgi":
            yield WSGISite(wrap(WSGIHandler()), pages, get_suite())
        else:
            yield ASGISite(wrap(ASGIHandler()), pages, get_suite())


def test_a_wrapped_callable_knows_marks_and_routes(wrapped: Site) -> None:
    assert wrapped.ask("/about/5").cache.stored
    assert wrapped.ask("/about/5").cache.hit
    assert wrapped.ended[0].route == "/about/<int:number>"
    get_suite().purge("about")
    assert wrapped.ask("/about/5").body == b"about 2"


def test_a_wrapped_callable_knows_whose_session_was_used(wrapped: Site) -> None:
    for _ in range(2):
        assert wrapped.ask("/used").cache.detail in {"private", "set-cookie"}
    assert pages.calls["used"] == 2


def test_only_djangos_callables_are_wrapped() -> None:
    with project(APSPERF={}), pytest.raises(SettingError, match="a function given; accepted"):
        wrap(about)
