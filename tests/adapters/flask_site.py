"""The site in Flask."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, Response, abort, request, session

from apsperf_flask import APSPerf, cached
from tests.adapters.support import FOR_ALL, Pages, WSGISite


def make(*, bare: bool = False, **settings: Any) -> WSGISite:
    pages = Pages()
    app = Flask("site")
    app.secret_key = "secret"
    suite = None if bare else APSPerf(**settings).init_app(app)
    blueprint = rules(pages)
    app.register_blueprint(blueprint)
    app.register_blueprint(streams(pages))
    app.register_blueprint(sessions(pages))
    app.register_blueprint(blueprint, name="shop", url_prefix="/shop/<town>")
    return WSGISite(app, pages, suite)


def rules(pages: Pages) -> Blueprint:
    site = Blueprint("rules", __name__)
    site.url_value_preprocessor(without_town)

    @site.get("/plain")
    def plain() -> str:
        return pages.turn("plain")

    @site.get("/item/<int:number>")
    @cached("short", tags=["items"])
    def item(number: int) -> str:
        return pages.turn(f"item {number}")

    @site.get("/seconds")
    @cached(90, tags=["other"])
    def seconds() -> str:
        return pages.turn("seconds")

    @site.get("/said")
    @cached("long")
    def said() -> Any:
        return pages.turn("said"), {"Cache-Control": request.args["control"]}

    @site.get("/unmarked")
    def unmarked() -> Any:
        return pages.turn("unmarked"), {"Cache-Control": request.args["control"]}

    @site.get("/cookie")
    @cached("long")
    def cookie() -> Response:
        response = Response(pages.turn("cookie"), headers=FOR_ALL)
        response.set_cookie("visit", "1")
        return response

    @site.get("/shared")
    @cached("long", shared=True)
    def shared() -> str:
        return pages.turn("shared")

    @site.route("/thing", methods=["GET", "POST"])
    @cached("long")
    def thing() -> Any:
        return pages.turn("thing"), int(request.headers.get("X-Status", "200"))

    @site.get("/etag")
    @cached("long")
    def etag() -> Any:
        page = pages.turn("etag")
        if request.headers.get("If-None-Match") == '"v1"':
            return "", 304, {"ETag": '"v1"'}
        return page, {"ETag": '"v1"'}

    @site.get("/status/<int:code>")
    @cached("long")
    def status(code: int) -> Any:
        return pages.turn("status"), code

    return site


def without_town(endpoint: str | None, values: dict[str, Any] | None) -> None:
    """The views take no town, wherever they are mounted."""
    if values is not None:
        values.pop("town", None)


def streams(pages: Pages) -> Blueprint:
    site = Blueprint("streams", __name__)

    @site.get("/stream")
    @cached("long")
    def stream() -> Response:
        return Response(pages.chunks())

    @site.get("/error")
    @cached("long")
    def error() -> str:
        raise RuntimeError(pages.turn("error"))

    @site.get("/gone")
    @cached("long")
    def gone() -> str:
        pages.turn("gone")
        abort(404)

    return site


def sessions(pages: Pages) -> Blueprint:
    site = Blueprint("sessions", __name__, url_prefix="/session")

    @site.get("/write")
    @cached("long", shared=True)
    def write() -> Any:
        session["user"] = "alice"
        return pages.turn("session write"), FOR_ALL

    @site.get("/read")
    @cached("long", shared=True)
    def read() -> Any:
        return f"{session.get('user')} {pages.turn('session read')}", FOR_ALL

    @site.get("/idle")
    @cached("long", shared=True)
    def idle() -> Any:
        return pages.turn("session idle"), FOR_ALL

    return site
