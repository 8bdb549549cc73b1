"""A Pyramid app with the suite round it.

gunicorn examples.frameworks.pyramid_shop:served
"""

from __future__ import annotations

from typing import Any

from pyramid.config import Configurator
from pyramid.response import Response

from apsperf_mw import Suite

suite = Suite()
stock: dict[int, str] = {1: "For Those About To Rock", 2: "Balls to the Wall"}


def album(request: Any) -> Any:
    """An album; it may be kept for a minute."""
    number = int(request.matchdict["number"])
    response = Response(json_body={"number": number, "title": stock[number]})
    response.headers["Cache-Control"] = "max-age=60"
    response.headers["ETag"] = f'"{stock[number]}"'
    return response


def rename(request: Any) -> Any:
    """Give it another title: what is stored of the URL is void."""
    stock[int(request.matchdict["number"])] = request.json_body["title"]
    return Response(status=201)


def export(_: Any) -> Any:
    """All of them, sent while they are read."""
    lines = (f"{number}\t{title}\n".encode() for number, title in stock.items())
    return Response(app_iter=lines, headerlist=[("Cache-Control", "max-age=60")])


def broken(_: Any) -> Any:
    """It fails."""
    raise RuntimeError("broken")


with Configurator() as config:
    for name, pattern in (("album", "/albums/{number}"), ("export", "/export"), ("no", "/broken")):
        config.add_route(name, pattern)
    config.add_view(album, route_name="album", request_method="GET")
    config.add_view(rename, route_name="album", request_method="POST")
    config.add_view(export, route_name="export")
    config.add_view(broken, route_name="no")
    served = suite.wsgi(config.make_wsgi_app())
