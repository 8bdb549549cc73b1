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
