"""What holds for Flask alone."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, session, stream_with_context
from flask.views import MethodView

from apsperf_flask import APSPerf, cached
from apsperf_mw import Suite
from apsperf_mw.errors import SettingError
from tests.adapters.support import Pages, WSGISite


def make_app(pages: Pages, **config: Any) -> Flask:
    app = Flask("app")
    app.config.update(config)

    @app.get("/page")
    @cached("short", tags=["page"])
    def page() -> str:
        return pages.turn("page")

    return app


def test_one_line_installs_and_gives_the_suite() -> None:
    app = make_app(Pages())
    perf = APSPerf(app)
    assert isinstance(app.extensions["apsperf"], Suite)
    with app.app_context():
        assert perf.suite is app.extensions["apsperf"]


def test_one_extension_for_apps_that_do_not_see_each_other() -> None:
    perf = APSPerf()
    pages = [Pages(), Pages()]
    one, other = (WSGISite(app := make_app(each), each, perf.init_app(app)) for each in pages)
    assert one.suite is not other.suite
    one.ask("/page")
    assert not other.ask("/page").cache.hit
    one.suite.purge("page")
    assert other.ask("/page").cache.hit
    assert not one.ask("/page").cache.hit


def test_a_second_install_changes_nothing() -> None:
    pages = Pages()
    app = make_app(pages)
    suite = APSPerf().init_app(app)
    assert APSPerf().init_app(app) is suite
    site = WSGISite(app, pages, suite)
    site.ask("/page")
    assert len(site.ask("/page").lines("cache-status")) == 1
    assert len(site.ended) == 2


def ttl_of(app: Flask, pages: Pages, **settings: Any) -> int | None:
    site = WSGISite(app, pages, APSPerf(**settings).init_app(app))
    site.ask("/page")
    return site.ask("/page").cache.ttl_s


@pytest.mark.parametrize(
    ("config", "environ", "keywords", "expected"),
    [
        ({"APSPERF_TTL__SHORT": 60}, {}, {}, 60),
        ({"APSPERF_TTL": {"SHORT": 60}}, {}, {}, 60),
        ({"APSPERF": {"ttl": {"short": 60}}}, {}, {}, 60),
        ({"APSPERF_TTL__SHORT": 60}, {"APSPERF_TTL__SHORT": "70"}, {}, 70),
        ({}, {"APSPERF_TTL__SHORT": "70"}, {"ttl": {"short": 80}}, 80),
    ],
)
def test_where_settings_come_from(
    monkeypatch: pytest.MonkeyPatch,
    config: dict[str, Any],
    environ: dict[str, str],
    keywords: dict[str, Any],
    expected: int,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    pages = Pages()
    assert ttl_of(make_app(pages, **config), pages, **keywords) in {expected, expected - 1}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"APSPERF_CACHE__ENABLE": True}, r"unknown setting 'cache\.enable'.*cache\.enabled"),
        ({"APSPERF_CACHE": {"ENABLED": "si"}}, r"cache\.enabled: got 'si' from framework; acc"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(config: dict[str, Any], message: str) -> None:
    app = make_app(Pages(), **config)
    with pytest.raises(SettingError, match=message):
        APSPerf(app)
    assert "apsperf" not in app.extensions


def test_the_mark_is_an_attribute_of_the_extension_too() -> None:
    pages = Pages()
    app = Flask("app")
    perf = APSPerf(app)

    @app.get("/page")
    @perf.cached("short")
    def page() -> str:
        return pages.turn("page")

    site = WSGISite(app, pages, app.extensions["apsperf"])
    site.ask("/page")
    assert site.ask("/page").cache.hit


def test_a_class_of_views_may_be_marked() -> None:
    pages = Pages()

    class Page(MethodView):
        decorators = [cached("short")]

        def get(self) -> str:
            return pages.turn("page")

    app = Flask("app")
    app.add_url_rule("/page", view_func=Page.as_view("page"))
    site = WSGISite(app, pages, APSPerf().init_app(app))
    site.ask("/page")
    assert site.ask("/page").cache.hit


@pytest.mark.parametrize("installed_first", [True, False])
def test_a_hook_that_reads_the_session_after_the_view_counts(installed_first: bool) -> None:
    def greet(response: Any) -> Any:
        response.headers["X-User"] = str(session.get("user"))
        return response

    pages = Pages()
    app = make_app(pages, SECRET_KEY="secret")
    if not installed_first:
        app.after_request(greet)
    suite = APSPerf().init_app(app)
    if installed_first:
        app.after_request(greet)
    site = WSGISite(app, pages, suite)
    for turn in (1, 2):
        reply = site.ask("/page")
        assert (reply.body, reply.cache.detail) == (b"page %d" % turn, "private")


def test_a_stream_keeps_its_request() -> None:
    pages = Pages()
    app = make_app(pages, SECRET_KEY="secret")

    @app.get("/rows")
    @cached("short")
    def rows() -> Any:
        def make() -> Any:
            yield f"{session.get('user')} "
            yield pages.turn("rows")

        return app.response_class(stream_with_context(make()))

    site = WSGISite(app, pages, APSPerf().init_app(app))
    assert site.ask("/rows").body == b"None rows 1"
    with app.test_client() as alice:
        with alice.session_transaction(base_url="http://shop.test") as held:
            held["user"] = "alice"
        for turn in (2, 3):
            reply = alice.get("/rows", base_url="http://shop.test")
            assert reply.data == b"alice rows %d" % turn


def test_the_test_client_sees_the_suite() -> None:
    app = make_app(Pages())
    APSPerf(app)
    client = app.test_client()
    client.get("/page")
    assert "hit" in client.get("/page").headers["Cache-Status"]
