"""What holds for FastAPI and Starlette alone."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from apsperf_fastapi import cached, install
from apsperf_mw import Suite
from apsperf_mw.errors import SettingError
from tests.adapters.support import ASGISite, Pages


def counted(*, on: FastAPI | None = None, **settings: Any) -> ASGISite:
    app, pages = on or FastAPI(), Pages()

    @app.get("/page")
    @cached("short", tags=["page"])
    def page() -> str:
        return pages.turn("page")

    return ASGISite(app, pages, install(app, **settings))


def test_one_line_installs_and_gives_the_suite() -> None:
    app = FastAPI()
    suite = install(app)
    assert isinstance(suite, Suite)
    assert app.state.apsperf is suite


def test_routes_and_middleware_may_come_after_it() -> None:
    pages = Pages()
    app = FastAPI()
    site = ASGISite(app, pages, install(app))
    assert site.ask("/page").status == 404

    @app.get("/page")
    @cached("short")
    def page() -> str:
        return pages.turn("page")

    site.ask("/page")
    assert site.ask("/page").cache.hit


def test_a_second_install_is_refused() -> None:
    site = counted()
    with pytest.raises(RuntimeError, match="installed on this app already"):
        install(site.app)
    site.ask("/page")
    assert len(site.ask("/page").lines("cache-status")) == 1


def test_two_apps_in_one_process_do_not_see_each_other() -> None:
    one, other = counted(), counted()
    one.ask("/page")
    assert not other.ask("/page").cache.hit
    one.suite.purge("page")
    assert other.ask("/page").cache.hit
    assert not one.ask("/page").cache.hit


def test_two_apps_may_have_one_suite() -> None:
    suite = Suite()
    one, other = counted(suite=suite), counted(suite=suite)
    one.ask("/page")
    assert other.ask("/page").cache.hit
    assert other.calls == {}


def test_settings_are_keywords_or_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APSPERF_TTL__SHORT", "77")
    monkeypatch.setenv("APSPERF_CACHE__STATUS_HEADER", "false")
    site = counted(cache={"status_header": True})
    site.ask("/page")
    assert site.ask("/page").cache.ttl_s in {76, 77}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cache": {"patienc_s": 1}}, r"unknown setting 'cache\.patienc_s'.*cache\.patience_s"),
        ({"cache": {"patience_s": "soon"}}, r"cache\.patience_s: got 'soon' from code; accepted:"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    app = FastAPI()
    with pytest.raises(SettingError, match=message):
        install(app, **settings)
    assert install(app) is app.state.apsperf


@pytest.mark.parametrize("ttl", ["brief", "", 0, -1, float("inf"), float("nan"), True, None, []])
def test_a_ttl_that_cannot_be_is_refused_where_it_is_written(ttl: Any) -> None:
    with pytest.raises(SettingError, match=r"cached\(ttl=\.\.\.\): .* given; accepted: short, med"):
        cached(ttl=ttl)


@pytest.mark.parametrize("tags", [[""], [7], [None], [b"items"]])
def test_a_tag_that_cannot_be_is_refused(tags: Any) -> None:
    with pytest.raises(SettingError, match=r"cached\(tags=\.\.\.\): .*; accepted: non-empty str"):
        cached("short", tags=tags)


def test_the_mark_changes_neither_the_view_nor_the_schema() -> None:
    def who() -> str:
        return "alice"

    def view(number: int, *, page: str = "1", user: str = Depends(who)) -> dict[str, int]:
        """What it says."""
        return {"number": number}

    marked = cached("short")(view)
    assert marked is view
    assert inspect.signature(marked).parameters.keys() == {"number", "page", "user"}
    with_mark, without = FastAPI(), FastAPI()
    with_mark.get("/item/{number}", response_model=dict[str, int])(marked)
    del view.__apsperf_rule__  # type: ignore[attr-defined]
    without.get("/item/{number}", response_model=dict[str, int])(view)
    install(with_mark)
    assert with_mark.openapi() == without.openapi()


def test_the_mark_may_stand_anywhere_among_other_decorators() -> None:
    pages = Pages()

    def logged(view: Any) -> Any:
        @wraps(view)
        def call(*args: Any, **kwargs: Any) -> Any:
            return view(*args, **kwargs)

        return call

    app = FastAPI()

    @cached("short")
    @app.get("/outside")
    def outside() -> str:
        return pages.turn("outside")

    @app.get("/below")
    @logged
    @cached("short")
    def below() -> str:
        return pages.turn("below")

    site = ASGISite(app, pages, install(app))
    for target in ("/outside", "/below"):
        site.ask(target)
        assert site.ask(target).cache.hit


def test_a_class_of_views_may_be_marked() -> None:
    pages = Pages()

    @cached("short")
    class Page(HTTPEndpoint):
        def get(self, request: Request) -> Response:
            return PlainTextResponse(pages.turn("page"))

    app = Starlette(routes=[Route("/page", Page)])
    site = ASGISite(app, pages, install(app))
    site.ask("/page")
    assert site.ask("/page").cache.hit


def test_background_tasks_run_after_the_exchange_has_ended() -> None:
    app, pages = FastAPI(), Pages()

    @app.get("/page")
    @cached("short")
    def page(tasks: BackgroundTasks) -> str:
        tasks.add_task(lambda: pages.events.append(f"task, {len(site.ended)} ended"))
        return pages.turn("page")

    site = ASGISite(app, pages, install(app))
    site.ask("/page", seen=lambda _: pages.events.append("last byte"))
    assert pages.events == ["last byte", "task, 1 ended"]
    assert site.ask("/page").cache.hit
    assert len(pages.events) == 2


def test_a_websocket_passes() -> None:
    app = FastAPI()

    @app.websocket("/echo")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text((await socket.receive_text()).upper())
        await socket.close()

    site = ASGISite(app, Pages(), install(app))
    incoming = iter([{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hi"}])
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return next(incoming)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/echo", "headers": [], "query_string": b""}
    conversation = site.app(scope, receive, send)
    with pytest.raises(StopIteration):
        conversation.send(None)
    assert [message["type"].rpartition(".")[2] for message in sent] == ["accept", "send", "close"]
    assert sent[1]["text"] == "HI"
