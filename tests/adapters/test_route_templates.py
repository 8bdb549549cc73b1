"""Observers see the template of the route, never the URL."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from apsperf_fastapi import install
from tests.adapters.conftest import Make
from tests.adapters.support import ASGISite, Pages, Site

ITEM = {
    "starlette": "/item/{number:int}",
    "fastapi": "/item/{number}",
    "flask": "/item/<int:number>",
    "django-wsgi": "/item/<int:number>",
    "django-asgi": "/item/<int:number>",
}
SHOP = {
    "starlette": "/shop/{town}/item/{number:int}",
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
    assert routes_of(site, "/error") == ["/error"]
    assert routes_of(site, "/gone") == ["/error", "/gone"]
