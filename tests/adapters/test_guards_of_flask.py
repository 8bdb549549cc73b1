"""Flask's guards of every form: an outsider never gets an insider's page."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from flask import Blueprint, Flask, Response, abort, render_template_string, request, session
from flask.views import MethodView, View
from flask_limiter import Limiter

from apsperf_flask import APSPerf, cached
from apsperf_mw import Suite

if TYPE_CHECKING:
    from collections.abc import Callable

IN, OUT = "10.0.0.1", "192.0.2.9"
TOKEN = {"X-Token": "k", "X-Forwarded-For": "k"}
FOR_ALL = {"Cache-Control": "public, max-age=60"}


def need(ok: object) -> None:
    if not ok:
        abort(403)


def allowed() -> bool:
    return request.remote_addr == IN


def by_helper() -> None:
    need(allowed())


def by_environ() -> None:
    need(request.environ["REMOTE_ADDR"] == IN)


def by_forwarded() -> None:
    need(request.headers.get("X-Forwarded-For") == "k")


def by_header() -> None:
    need(request.headers.get("X-Token") == "k")


def by_cookie() -> None:
    need(request.cookies.get("tok") == "k")


def preprocess(endpoint: Any, values: Any) -> None:
    need(request.remote_addr == IN)


BEFORE = (by_helper, by_environ, by_forwarded, by_header, by_cookie, preprocess)


def of_a_blueprint(check: Any) -> Callable[[Flask], None]:
    def build(app: Flask) -> None:
        part = Blueprint("part", __name__)
        (part.url_value_preprocessor if check is preprocess else part.before_request)(check)
        part.add_url_rule("/in", "in", lambda: ("secret", FOR_ALL))
        app.register_blueprint(part)

    return build


class Dispatch(MethodView):
    decorators = [cached(60)]

    def dispatch_request(self, **values: Any) -> Any:
        need(request.remote_addr == IN)
        return super().dispatch_request(**values)

    def get(self) -> Any:
        return "secret"


class OwnMethod(MethodView):
    decorators = [cached(60)]

    def inside(self) -> None:
        need(request.remote_addr == IN)

    def get(self) -> Any:
        self.inside()
        return "secret"


class Plain(View):
    decorators = [cached(60)]

    def dispatch_request(self) -> Any:
        return request.remote_addr


class Heir(Dispatch):
    def get(self) -> Any:
        return "secret of an heir"


def of_a_class(kind: type[View]) -> Callable[[Flask], None]:
    return lambda app: app.add_url_rule("/in", view_func=kind.as_view("in"))


def of_a_template(app: Flask) -> None:
    app.add_url_rule("/in", "in", cached(60)(lambda: render_template_string(SHOWN)))


SHOWN = "{{ request.remote_addr }}"
BUILDS = {
    **{check.__name__: of_a_blueprint(check) for check in BEFORE},
    **{kind.__name__: of_a_class(kind) for kind in (Dispatch, OwnMethod, Plain, Heir)},
    "template": of_a_template,
}


def ask(app: Flask, address: str, *, inside: bool = False) -> Any:
    client = app.test_client()
    if inside:
        client.set_cookie("tok", "k")
    fields = TOKEN if inside else {}
    return client.get("/in", headers=fields, environ_overrides={"REMOTE_ADDR": address})


@pytest.mark.parametrize("name", BUILDS)
def test_whatever_stands_before_a_view_is_a_guard(name: str) -> None:
    bare, app = Flask("bare"), Flask("app")
    for each in (bare, app):
        BUILDS[name](each)
    APSPerf(app)
    expected = ask(bare, OUT)
    for _ in range(2):
        inside = ask(app, IN, inside=True)
        assert inside.status_code == 200
        assert "; stored" not in inside.headers["Cache-Status"]
        outside = ask(app, OUT)
        assert (outside.status_code, outside.text) == (expected.status_code, expected.text)


@pytest.mark.parametrize("name", ["Dispatch", "OwnMethod", "Plain", "Heir", "template"])
def test_an_address_alone_is_enough(name: str) -> None:
    app = Flask("app")
    BUILDS[name](app)
    APSPerf(app)
    for address in (IN, OUT, IN):
        told = ask(app, address)
        assert told.headers["Cache-Status"].endswith('detail="private"'), name
        assert told.status_code == (200 if address == IN or name in {"Plain", "template"} else 403)


def greet() -> None:
    request.headers.get("Accept-Language", "en")


def test_what_is_no_guard_keeps_nothing_out() -> None:
    app = Flask("app")
    of_a_blueprint(greet)(app)
    APSPerf(app)
    assert "; stored" in ask(app, IN).headers["Cache-Status"]
    assert "; hit" in ask(app, OUT).headers["Cache-Status"]


def test_a_log_of_addresses_is_none() -> None:
    app = Flask("app")
    seen: list[Any] = []

    @app.after_request
    def log(response: Any) -> Any:
        seen.append(request.remote_addr)
        return response

    app.add_url_rule("/in", "in", lambda: ("for all", FOR_ALL))
    APSPerf(app)
    ask(app, IN)
    assert "; hit" in ask(app, OUT).headers["Cache-Status"]
    assert seen == [IN]


@pytest.mark.parametrize("how", ["a blueprint", "by hand"])
def test_limits_of_a_blueprint_go_on_counting(how: str) -> None:
    app = Flask("app")
    limiter = Limiter(lambda: "me", app=app, storage_uri="memory://")
    part = Blueprint("part", __name__)
    part.add_url_rule("/in", "in", cached(60)(lambda: "x"))
    if how == "a blueprint":
        limiter.limit("2/minute")(part)
    else:

        @part.before_request
        def limited() -> None:
            with limiter.limit("2/minute"):
                """One more."""

    app.register_blueprint(part)
    APSPerf(app)
    assert [ask(app, IN).status_code for _ in range(4)] == [200, 200, 429, 429]


class OnMethod(MethodView):
    @cached(60)
    def get(self) -> Any:
        return "x"


@cached(60)
class OnClass(MethodView):
    def get(self) -> Any:
        return "x"


@pytest.mark.parametrize("kind", [OnMethod, OnClass])
def test_marks_of_a_class_and_of_its_method_count(kind: type[View]) -> None:
    app = Flask("app")
    of_a_class(kind)(app)
    APSPerf(app)
    assert "; stored" in ask(app, IN).headers["Cache-Status"]
    assert "; hit" in ask(app, IN).headers["Cache-Status"]
    told = app.test_cli_runner().invoke(args=["apsperf", "doctor"]).output
    assert "/in: cached for 60 s" in told


def test_a_client_that_has_not_read_a_body_does_not_wait_for_itself() -> None:
    app = Flask("app")
    app.add_url_rule("/in", "in", cached(60)(lambda: Response(str(n) for n in range(3))))
    APSPerf(app, cache={"patience_s": 30.0})
    began = time.monotonic()
    first, second = ask(app, IN), ask(app, IN)
    assert second.text == first.text == "012"
    assert time.monotonic() - began < 10
    assert "; hit" in ask(app, IN).headers["Cache-Status"]


def test_what_a_suite_within_keeps_private_is_private_outside() -> None:
    inner = Flask("inner")
    of_a_blueprint(by_header)(inner)
    APSPerf(inner)
    suite = Suite()
    inner.wsgi_app = suite.wsgi(inner.wsgi_app)  # type: ignore[method-assign]
    assert ask(inner, IN, inside=True).status_code == 200
    said = ask(inner, IN, inside=True).headers.getlist("Cache-Status")
    assert ", ".join(said).count('detail="private"') == 2
    assert ask(inner, OUT).status_code == 403


@pytest.mark.parametrize("field", ["X-Forwarded-Proto", "X-Forwarded-Host"])
def test_trusted_fields_that_make_the_url_are_part_of_the_key(field: str) -> None:
    app = Flask("app")
    app.add_url_rule("/in", "in", cached(60)(lambda: request.headers.get(field, "")))
    APSPerf(app, cache={"trusted_headers": [field, "X-Forwarded-For"]})
    client = app.test_client()
    for value in ("a", "b", "a", "b"):
        told = client.get("/in", headers={field: value})
        assert told.text == value
    assert "; hit" in told.headers["Cache-Status"]


PART = '{% cache "part", request.nothing, ttl="short" %}{{ session.get("user") }}{% endcache %}'


def test_a_part_that_asks_for_the_session_is_not_kept() -> None:
    app = Flask("app")
    app.secret_key = "secret"
    APSPerf(app)

    @app.get("/in/<user>")
    def inside(user: str) -> str:
        session["user"] = user
        return render_template_string(PART)

    for user in ("bob", "eve", "bob"):
        told = app.test_client().get(f"/in/{user}")
        assert told.text == user
        assert told.headers["Cache-Status"].endswith('detail="private"')
