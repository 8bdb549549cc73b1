"""Observers see the template of the route, never the URL."""

from __future__ import annotations

from inspect import getsource
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, Router

from apsperf_fastapi import install
from apsperf_mw import Suite
from tests.adapters.conftest import Make
from tests.adapters.support import ASGISite, Pages, Site


def told(template: str) -> str:
    """A template of Starlette's own; older releases tell only of routes that FastAPI matched."""
    return template if 'scope["route"]' in getsource(Router) else ""


ITEM = {
    "starlette": told("/item/{number:int}"),
    "fastapi": "/item/{number}",
    "flask": "/item/<int:number>",
    "django-wsgi": "/item/<int:number>",
    "django-asgi": "/item/<int:number>",
}
SHOP = {
    "starlette": told("/shop/{town}/item/{number:int}"),
    "fastapi": "/shop/{town}/stock/item/{number}",
    "flask": "/shop/<town>/item/<int:number>",
    "django-wsgi": "/shop/<slug:town>/item/<int:number>",
    "django-asgi": "/shop/<slug:town>/item/<int:number>",
}


def routes_of(site: Site, *targets: str) -> list[str]:
    for target in targets:
        site.ask(target)
    return [x.route for x in site.ended]


def test_a_plain_route(make: Make) -> None:
    site = make()
    assert routes_of(site, "/item/7", "/item/8") == [ITEM[make.stack]] * 2


def test_a_route_under_another(make: Make) -> None:
    site = make()
    under = "/shop/7/stock/item/7" if make.stack == "fastapi" else "/shop/7/item/7"
    assert routes_of(site, under) == [SHOP[make.stack]]
    assert site.ask(under).cache.hit


def test_a_hit_bears_the_template_of_its_entry(make: Make) -> None:
    site = make()
    assert routes_of(site, "/item/7", "/item/7") == [ITEM[make.stack]] * 2
    assert [x.result for x in site.ended] == ["miss", "hit"]


def test_no_route_no_template(make: Make) -> None:
    site = make()
    assert routes_of(site, "/nowhere", "/item/", "/shop") == ["", "", ""]


def test_an_error_has_the_template_of_its_route(make: Make) -> None:
    site = make()
    expected = ["/error", "/gone"] if make.stack != "starlette" else [told("/error"), told("/gone")]
    assert routes_of(site, "/error", "/gone") == expected


HOSTILE = ("007", "1.50", "shop", "s", "item", "{town}", "%2F", "a%20b")


@pytest.mark.parametrize("town", HOSTILE)
def test_no_value_of_the_url_gets_into_the_template(make: Make, town: str) -> None:
    site = make()
    tail = "stock/item/7" if make.stack == "fastapi" else "item/7"
    assert routes_of(site, f"/shop/{town}/{tail}") in ([SHOP[make.stack]], [""])


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("page")


async def opaque(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("from a mounted app")(scope, receive, send)


@pytest.mark.parametrize(
    ("target", "template"),
    [
        ("/v/1.50/007/item/x", "/v/{release:float}/{build:int}/item/{v}"),
        ("/v/1.50/007/nowhere", ""),
        ("/v/1.50/nowhere", ""),
        ("/files/a/b.css", "/files/{path}"),
        ("/v/1.50/files/b.css", "/v/{release:float}/files/{path}"),
    ],
)
def test_mounts_in_starlette(target: str, template: str) -> None:
    build = Mount("/{build:int}", routes=[Route("/item/{v}", page)])
    release = Mount("/v/{release:float}", routes=[build, Mount("/files", opaque)])
    app = Starlette(routes=[release, Mount("/files", opaque)])
    site = ASGISite(app, Pages(), install(app))
    assert routes_of(site, target) == [told(template)]


SHELVES = [Route("/item/{number}", page), Mount("/{shop}", routes=[Route("/item/{number}", page)])]


@pytest.mark.parametrize("target", ["/berlin/item/7", "/item/7"])
def test_the_template_begins_where_the_server_has_put_the_app(target: str) -> None:
    app = Starlette(routes=SHELVES)
    site = ASGISite(app, Pages(), install(app))

    async def behind_a_prefix(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "root_path": "/api", "path": "/api" + scope["path"]}, receive, send)

    site.app = behind_a_prefix
    expected = told("/item/{number}" if target == "/item/7" else "/{shop}/item/{number}")
    assert routes_of(site, target, target) == [expected] * 2


def test_the_mounts_of_an_outer_app_count() -> None:
    app = Starlette(routes=SHELVES)
    site = ASGISite(app, Pages(), install(app))
    site.app = Starlette(routes=[Mount("/api", app)])
    assert routes_of(site, "/api/berlin/item/7") == [told("/api/{shop}/item/{number}")]


class Copying:
    """A middleware that hands on a scope of its own."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(dict(scope), receive, send)


class Overriding(Starlette):
    """An app that puts something round the stack that it builds."""

    def build_middleware_stack(self) -> Any:
        return Copying(super().build_middleware_stack())


def observed_routes(app: Starlette, *targets: str, cached: bool, change: Any = None) -> list[str]:
    """The routes that the exporter counts."""
    exporter = {"kind": "none"}
    suite = install(app, suite=Suite(None, cache={"enabled": cached}, exporter=exporter))
    finished: list[Any] = []
    suite.exporter.watch(finished.extend)
    site = ASGISite(app, Pages(), suite)
    if change is not None:
        change(site, app)
    for target in targets:
        site.ask(target)
    suite.exporter.ledger.drain(wait=True)
    suite.close()
    assert not suite.faults.counts
    return [each.raw[2] for each in finished][-len(targets) :]


def rebuilt(site: ASGISite, app: Starlette) -> None:
    """Another middleware comes once the app has served."""
    site.ask("/item/7")
    app.middleware_stack = None
    app.add_middleware(Copying)


def patched(_: ASGISite, app: Starlette) -> None:
    """Somebody else has put a stack of their own into the app."""
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: Copying(build())  # type: ignore[method-assign]


WAYS: dict[str, tuple[type[Starlette], Any]] = {
    "plain": (Starlette, None),
    "added": (Starlette, lambda _, app: app.add_middleware(Copying)),
    "rebuilt": (Starlette, rebuilt),
    "overridden": (Overriding, None),
    "patched": (Starlette, patched),
}


@pytest.mark.parametrize("cached", [True, False], ids=["cached", "observed"])
@pytest.mark.parametrize("way", WAYS)
def test_a_middleware_that_copies_the_scope_hides_no_route(way: str, *, cached: bool) -> None:
    kind, change = WAYS[way]
    targets = "/item/7", "/berlin/item/7", "/nowhere"
    found = observed_routes(kind(routes=SHELVES), *targets, cached=cached, change=change)
    assert found == [told("/item/{number}"), told("/{shop}/item/{number}"), ""]


@pytest.mark.parametrize("cached", [True, False], ids=["cached", "observed"])
def test_a_stack_that_was_patched_before_hides_no_route(*, cached: bool) -> None:
    app = Starlette(routes=SHELVES)
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: Copying(build())  # type: ignore[method-assign]
    found = observed_routes(app, "/item/7", "/nowhere", cached=cached)
    assert found == [told("/item/{number}"), ""]


def test_routes_of_fastapi_are_named_without_a_cache() -> None:
    from fastapi import APIRouter, FastAPI

    def item(number: int) -> dict[str, int]:
        return {"number": number}

    app, below, router = FastAPI(), FastAPI(), APIRouter(prefix="/shelf")
    for each in (app, below, router):
        each.get("/item/{number}")(item)
    app.include_router(router, prefix="/shop/{town}")
    app.mount("/below/{town}", below)
    targets = "/item/7", "/shop/berlin/shelf/item/7", "/below/berlin/item/7", "/nowhere"
    assert observed_routes(app, *targets, cached=False) == [
        "/item/{number}",
        "/shop/{town}/shelf/item/{number}",
        "/below/{town}/item/{number}",
        "",
    ]
