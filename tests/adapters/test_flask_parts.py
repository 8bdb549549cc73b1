"""What Flask users get besides the cache: parts of templates, commands, several apps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, render_template_string
from jinja2 import TemplateSyntaxError

from apsperf_flask import APSPerf
from apsperf_mw.errors import SettingError
from tests.adapters.support import Pages, WSGISite
from tests.observe.support import wait_until

if TYPE_CHECKING:
    from pathlib import Path

PART = (
    "{% cache 'side', user, ttl='short', tags=['albums'] %}"
    "{{ turn() }} <b>{{ user }}</b>{% endcache %}"
)


def app_of(template: str = PART, **settings: Any) -> tuple[Flask, APSPerf, Pages]:
    app, pages = Flask("shop"), Pages()
    perf = APSPerf(app, **settings)

    @app.get("/part/<user>")
    def part(user: str) -> str:
        return render_template_string(template, user=user, turn=lambda: pages.turn("part"))

    @app.get("/page/<user>")
    @perf.cached("medium")
    def page(user: str) -> str:
        return render_template_string(template, user=user, turn=lambda: pages.turn("part"))

    @app.get("/about")
    @perf.cached("long", tags=["about"])
    def about() -> str:
        return pages.turn("about")

    @app.get("/broken")
    @perf.cached("long")
    def broken() -> str:
        raise KeyError("broken")

    return app, perf, pages


def body(app: Flask, path: str) -> str:
    return app.test_client().get(path).text


def test_a_part_is_made_once_for_each_variant() -> None:
    app, _, _ = app_of()
    assert body(app, "/part/ann") == "part 1 <b>ann</b>"
    assert body(app, "/part/ann") == "part 1 <b>ann</b>"
    assert body(app, "/part/bob") == "part 2 <b>bob</b>"
    assert body(app, "/part/<i>") == "part 3 <b>&lt;i&gt;</b>"
    assert body(app, "/part/<i>") == "part 3 <b>&lt;i&gt;</b>"


def test_a_part_is_purged_by_its_tag_and_its_page_too() -> None:
    app, perf, _ = app_of()
    assert body(app, "/page/ann") == "part 1 <b>ann</b>"
    perf.suite.cache(space="flask:fragments").invalidate("albums")
    assert body(app, "/page/ann") == "part 1 <b>ann</b>"  # the whole page is kept as well
    perf.suite.purge("albums")
    assert body(app, "/page/ann") == "part 2 <b>ann</b>"


def test_parts_of_the_same_name_in_two_apps_are_two() -> None:
    first, second = app_of()[0], app_of()[0]
    assert body(first, "/part/ann") == body(second, "/part/ann") == "part 1 <b>ann</b>"
    assert first.extensions["apsperf"] is not second.extensions["apsperf"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% cache %}x{% endcache %}", "it needs a name first"),
        ("{% cache ttl='short' %}x{% endcache %}", "it needs a name first"),
        ("{% cache 'x', time=3 %}x{% endcache %}", "time= given; accepted: ttl, tags"),
        ("{% cache 'x' y %}x{% endcache %}", "expected token ','"),
        ("{% cache 'x' %}x", "endcache"),
    ],
)
def test_a_tag_that_is_wrong_is_named(template: str, message: str) -> None:
    app, _, _ = app_of()
    with pytest.raises(TemplateSyntaxError, match=message):
        app.jinja_env.from_string(template)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% cache 'x', turn %}x{% endcache %}", "a function given to tell variants apart"),
        ("{% cache 'x', ttl='week' %}x{% endcache %}", "short, medium, long"),
        ("{% cache 'x', tags=[''] %}x{% endcache %}", "tags"),
    ],
)
def test_a_value_that_is_wrong_is_named(template: str, message: str) -> None:
    app, _, _ = app_of(template)
    app.testing = True
    with pytest.raises(SettingError, match=message):
        body(app, "/part/ann")


def test_what_fails_within_a_part_comes_through_and_is_not_kept() -> None:
    app, _, pages = app_of("{% cache 'x' %}{{ turn() }}{{ missing.attribute }}{% endcache %}")
    for _ in range(2):
        assert app.test_client().get("/part/ann").status_code == 500
    assert pages.calls["part"] == 2


def test_the_environment_is_not_made_before_its_time() -> None:
    app = Flask("shop")
    APSPerf(app)
    app.jinja_options["trim_blocks"] = True
    assert app.jinja_env.trim_blocks
    assert "CacheTag" in str(app.jinja_env.extensions)
    late = Flask("late")
    assert late.jinja_env is not None
    APSPerf().init_app(late)
    assert "CacheTag" in str(late.jinja_env.extensions)
    assert "CacheTag" not in str(Flask("other").jinja_env.extensions)


def test_one_extension_serves_several_apps_by_a_factory() -> None:
    perf = APSPerf()

    def create(name: str) -> Flask:
        app = Flask(name)
        app.config["APSPERF_CACHE"] = {"namespace": name}
        perf.init_app(app)
        perf.init_app(app)

        @app.get("/")
        @perf.cached("short")
        def home() -> str:
            return name

        return app

    sites = [WSGISite(app, Pages(), app.extensions["apsperf"]) for app in map(create, ["a", "b"])]
    assert [site.ask("/").body for site in sites] == [b"a", b"b"]
    assert [site.ask("/").cache.hit for site in sites] == [True, True]
    assert [len(site.ended) for site in sites] == [2, 2]
    with sites[0].app.app_context():
        assert perf.suite is sites[0].suite


def invoke(app: Flask, *arguments: str) -> Any:
    return app.test_cli_runner().invoke(args=["apsperf", *arguments])


def test_the_doctor_tells_of_stores_routes_and_exports() -> None:
    app, _, _ = app_of()
    told = invoke(app, "doctor")
    assert told.exit_code == 0
    assert "ok      driver memory: ok, in this process" in told.output
    assert "ok      GET /about: cached for long, tags about" in told.output
    assert "note    exporter: spans go nowhere" in told.output
    levels = {
        each["level"] for each in json.loads(invoke(app, "doctor", "--json").output)["findings"]
    }
    assert levels == {"ok", "note"}


def test_the_doctor_finds_what_is_broken() -> None:
    app, _, _ = app_of(
        drivers={"shared": "redis://127.0.0.1:1/0"}, cache={"share_with_cookie": True}
    )

    @app.before_request
    def check() -> None:
        from flask import request

        assert request.remote_addr

    told = invoke(app, "doctor")
    assert told.exit_code == 1
    assert "error   driver shared: " in told.output
    assert "warning cache.share_with_cookie: true" in told.output
    assert "warning GET /about: marked, but behind request.remote_addr" in told.output


def test_pages_are_purged_and_warmed_by_command(tmp_path: Path) -> None:
    settings: Any = {"cache": {"driver": f"file://{tmp_path}/cache"}}
    app, _, pages = app_of(**settings)
    told = invoke(app, "warm")
    assert told.exit_code == 1  # /broken is one of them
    assert pages.calls["about"] == 1
    assert invoke(app, "warm", "/about").exit_code == 0
    other, _, fresh = app_of(**settings)
    assert body(other, "/about") == "about 1"
    assert fresh.calls["about"] == 0
    assert invoke(app, "purge", "about").output == "purged\n"
    assert wait_until(lambda: body(other, "/about") == "about 1" and fresh.calls["about"] == 1)


@pytest.mark.parametrize("arguments", [["purge"], ["purge", ""], ["report"]])
def test_a_command_that_cannot_be_carried_out_says_why(arguments: list[str]) -> None:
    app, _, _ = app_of()
    told = invoke(app, *arguments)
    assert told.exit_code == 2
    assert "Error: " in told.output
