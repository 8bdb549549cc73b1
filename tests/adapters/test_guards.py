"""Nobody gets past a guard by a hit: after an insider, an outsider is answered as bare."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import APIRouter, Cookie, Depends, FastAPI, Header, HTTPException, Request, Security
from fastapi import security as schemes
from fastapi.responses import PlainTextResponse
from flask import Blueprint, Flask, abort
from flask import request as flask_request
from flask.views import MethodView
from flask_httpauth import HTTPTokenAuth
from flask_limiter import Limiter
from flask_login import LoginManager, UserMixin, login_required
from slowapi import Limiter as SlowLimiter
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser, requires
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware

from apsperf_fastapi import cached, install
from apsperf_flask import APSPerf
from apsperf_mw import Suite
from apsperf_mw.guards import MOST_LAYERS, layers
from apsperf_mw.reading import ADDRESS, reads, reads_of, speaks_of
from tests.adapters.support import FOR_ALL, ASGISite, Pages, WSGISite
from tests.observe.raw import ask

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "insider"
BEARER = {"Authorization": f"Bearer {KEY}"}
BASIC = {"Authorization": "Basic aW5zaWRlcjpwdw=="}


def page() -> PlainTextResponse:
    return PlainTextResponse("for insiders", headers=FOR_ALL)


def by_scheme(scheme: Any) -> Callable[[FastAPI], None]:
    """A route that whoever has no credential for the scheme does not get."""

    def build(app: FastAPI) -> None:
        @app.get("/in", dependencies=[Depends(scheme)])
        def inside() -> Any:
            return page()

    return build


async def user_of(authorization: Annotated[str, Header()] = "") -> str:
    if not authorization:
        raise HTTPException(401)
    return authorization


def by_user(app: FastAPI) -> None:
    @app.get("/in")
    async def inside(name: Annotated[str, Security(user_of, scopes=["read"])]) -> Any:
        return page()


def by_router(app: FastAPI) -> None:
    def key(x_key: Annotated[str, Header()] = "") -> None:
        if x_key != KEY:
            raise HTTPException(403)

    router = APIRouter(dependencies=[Depends(key)])

    @router.get("/in")
    def inside() -> Any:
        return page()

    outer = APIRouter()
    outer.include_router(router)
    app.include_router(outer)


def by_cookie_of_a_dependency(app: FastAPI) -> None:
    def key(visit: Annotated[str, Cookie()] = "") -> None:
        if visit != KEY:
            raise HTTPException(403)

    @app.get("/in", dependencies=[Depends(key)])
    def inside() -> Any:
        return page()


class ByAddress:
    """A dependency that is an object."""

    def __call__(self, request: Request) -> None:
        if request.client is None or request.client.host != "10.0.0.9":
            raise HTTPException(403)


# Older releases of FastAPI look for the names of annotations where an object has none.
ByAddress.__call__.__annotations__["request"] = Request


def by_address(app: FastAPI) -> None:
    def deeper(checked: Annotated[None, Depends(ByAddress())]) -> None:
        """One more level."""

    @app.get("/in", dependencies=[Depends(deeper)])
    def inside() -> Any:
        return page()


def by_session(app: FastAPI) -> None:
    def user(request: Request) -> None:
        if request.headers.get("x-key") != KEY and not request.session.get("user"):
            raise HTTPException(403)

    @app.get("/in", dependencies=[Depends(user)])
    def inside() -> Any:
        return page()

    app.add_middleware(SessionMiddleware, secret_key="secret")


class ByField(AuthenticationBackend):
    async def authenticate(self, conn: Any) -> Any:
        if conn.headers.get("x-key") == KEY:
            return AuthCredentials(["in"]), SimpleUser(KEY)
        return None


def by_starlette(app: FastAPI) -> None:
    @app.get("/in")
    @requires("in")
    def inside(request: Request) -> Any:
        return page()

    app.add_middleware(AuthenticationMiddleware, backend=ByField())


def mounted(app: FastAPI) -> None:
    inner = FastAPI()
    by_scheme(schemes.APIKeyHeader(name="X-Key"))(inner)
    app.mount("/deep", inner)


FASTAPI: dict[str, tuple[Callable[[FastAPI], None], str, dict[str, str]]] = {
    "bearer": (by_scheme(schemes.HTTPBearer()), "/in", BEARER),
    "basic": (by_scheme(schemes.HTTPBasic()), "/in", BASIC),
    "oauth2": (by_scheme(schemes.OAuth2PasswordBearer("token")), "/in", BEARER),
    "openid": (by_scheme(schemes.OpenIdConnect(openIdConnectUrl="x")), "/in", BEARER),
    "header": (by_scheme(schemes.APIKeyHeader(name="X-Key")), "/in", {"X-Key": KEY}),
    "cookie": (by_scheme(schemes.APIKeyCookie(name="key")), "/in", {"Cookie": f"key={KEY}"}),
    "query": (by_scheme(schemes.APIKeyQuery(name="key")), f"/in?key={KEY}", {}),
    "user": (by_user, "/in", BEARER),
    "router": (by_router, "/in", {"X-Key": KEY}),
    "cookie of a dependency": (by_cookie_of_a_dependency, "/in", {"Cookie": f"visit={KEY}"}),
    "session": (by_session, "/in", {"X-Key": KEY}),
    "starlette": (by_starlette, "/in", {"X-Key": KEY}),
    "mounted": (mounted, "/deep/in", {"X-Key": KEY}),
}


@pytest.mark.parametrize("name", FASTAPI)
def test_fastapis_guards_hold(name: str) -> None:
    build, target, credential = FASTAPI[name]
    outside = target.partition("?")[0]
    bare = FastAPI()
    build(bare)
    refused = ASGISite(bare, Pages(), None).ask(outside)
    assert refused.status in {401, 403}
    app = FastAPI()
    build(app)
    site = ASGISite(app, Pages(), install(app))
    for _ in range(2):
        inside = site.ask(target, credential)
        assert (inside.status, inside.body) == (200, b"for insiders")
        assert not inside.cache.stored
        assert not inside.cache.hit
        assert site.ask(outside).status == refused.status
        assert site.ask(outside, {"Cookie": "other=1"}).status == refused.status


def test_a_guard_by_address_holds() -> None:
    app = FastAPI()
    by_address(app)
    install(app)
    statuses = [
        ask(app, path="/in", raw_path=b"/in", client=(host, 1))[0]["status"]
        for host in ("10.0.0.9", "192.0.2.1", "10.0.0.9", "192.0.2.1")
    ]
    assert statuses == [200, 403, 200, 403]


def test_a_limiter_counts_every_request() -> None:
    limiter = SlowLimiter(key_func=lambda request: "all")
    app = FastAPI()
    app.state.limiter = limiter

    @app.get("/in")
    @limiter.limit("2/hour")
    def inside(request: Request) -> Any:
        return page()

    site = ASGISite(app, Pages(), install(app))
    assert [site.ask("/in").cache.hit for _ in range(2)] == [False, False]
    assert site.ask("/in").status == 429


def test_who_says_that_a_guarded_page_is_for_all_has_it_shared() -> None:
    app = FastAPI()

    @app.get("/in", dependencies=[Depends(schemes.APIKeyHeader(name="X-Key"))])
    @cached("short", shared=True)
    def inside() -> str:
        return "for all"

    site = ASGISite(app, Pages(), install(app))
    assert site.ask("/in", {"X-Key": KEY}).cache.stored
    assert site.ask("/in").cache.hit


def test_what_a_settings_rule_says_of_a_guarded_page_counts_too() -> None:
    app = FastAPI()
    by_scheme(schemes.APIKeyHeader(name="X-Key"))(app)
    routes = [{"path": "/in", "ttl": "short", "shared": True}]
    site = ASGISite(app, Pages(), install(app, cache={"routes": routes}))
    site.ask("/in", {"X-Key": KEY})
    assert site.ask("/in").cache.hit


def test_what_is_no_guard_keeps_nothing_out() -> None:
    app = FastAPI()

    def wants(accept_language: Annotated[str, Header()] = "en") -> str:
        return accept_language

    def database(request: Request) -> object:
        return request.app.state

    @app.get("/open", dependencies=[Depends(wants), Depends(database)])
    def opened() -> Any:
        return page()

    site = ASGISite(app, Pages(), install(app))
    site.ask("/open")
    assert site.ask("/open").cache.hit


# Flask


def flask_app() -> Flask:
    app = Flask("guarded")
    app.secret_key = "secret"
    return app


def login(app: Flask) -> None:
    manager = LoginManager(app)

    class User(UserMixin):
        id = KEY

    @manager.request_loader
    def load(request: Any) -> Any:
        return User() if request.headers.get("X-Key") == KEY else None

    @app.get("/in")
    @login_required
    def inside() -> Any:
        return "for insiders", FOR_ALL


def login_seen_late(app: Flask) -> None:
    """No decorator: the view itself looks at who asks."""
    from flask_login import current_user

    login(app)
    app.view_functions.pop("inside")

    def inside() -> Any:
        if not current_user.is_authenticated:
            abort(401)
        return "for insiders", FOR_ALL

    app.view_functions["inside"] = inside


def token(app: Flask) -> None:
    auth = HTTPTokenAuth(header="X-Key")
    auth.verify_token(lambda given: KEY if given == KEY else None)

    class Inside(MethodView):
        @auth.login_required
        def get(self) -> Any:
            return "for insiders", FOR_ALL

    app.add_url_rule("/in", view_func=Inside.as_view("inside"))


def before(app: Flask) -> None:
    site = Blueprint("site", __name__)

    @site.before_request
    def check() -> None:
        if flask_request.authorization is None and flask_request.remote_addr != "10.0.0.9":
            abort(403)

    @site.get("/in")
    def inside() -> Any:
        return "for insiders", FOR_ALL

    app.register_blueprint(site)


FLASK: dict[str, tuple[Callable[[Flask], None], dict[str, str]]] = {
    "login": (login, {"X-Key": KEY}),
    "login seen late": (login_seen_late, {"X-Key": KEY}),
    "token": (token, {"X-Key": KEY}),
    "before": (before, BEARER),
}


@pytest.mark.parametrize("name", FLASK)
def test_flasks_guards_hold(name: str) -> None:
    build, credential = FLASK[name]
    bare = flask_app()
    build(bare)
    refused = WSGISite(bare, Pages(), None).ask("/in")
    assert refused.status in {401, 403}
    app = flask_app()
    build(app)
    site = WSGISite(app, Pages(), APSPerf().init_app(app))
    for _ in range(2):
        inside = site.ask("/in", credential)
        assert (inside.status, inside.body) == (200, b"for insiders")
        assert not inside.cache.stored
        assert site.ask("/in").status == refused.status


@pytest.mark.parametrize("default", [True, False])
def test_a_limiter_of_flask_counts_what_it_limits(*, default: bool) -> None:
    app = flask_app()
    limits = ["2/hour"] if default else []
    limiter = Limiter(lambda: "all", app=app, default_limits=limits, storage_uri="memory://")  # type: ignore[arg-type]

    @app.get("/limited")
    @limiter.limit("2/hour")
    def limited() -> Any:
        return "limited", FOR_ALL

    @app.get("/free")
    def free() -> Any:
        return "free", FOR_ALL

    site = WSGISite(app, Pages(), APSPerf().init_app(app))
    assert [site.ask("/limited").status for _ in range(3)] == [200, 200, 429]
    assert [site.ask("/free").status for _ in range(3)] == [200, 200, 429 if default else 200]


# Any app


CERTIFICATE: list[tuple[dict[str, Any], bool]] = [
    ({"SSL_CLIENT_VERIFY": "SUCCESS"}, True),
    ({"SSL_CLIENT_CERT": "-----BEGIN"}, True),
    ({"SSL_CLIENT_VERIFY": "NONE"}, False),
    ({}, False),
]


@pytest.mark.parametrize(("shown", "private"), CERTIFICATE)
def test_who_comes_with_a_certificate_gets_a_page_of_their_own(
    shown: dict[str, Any], *, private: bool
) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(FOR_ALL.items()))
        return [b"page"]

    def with_certificate(environ: Any, start_response: Any) -> Any:
        return wrapped(environ | shown, start_response)

    suite = Suite()
    wrapped = suite.wsgi(app)
    assert WSGISite(with_certificate, Pages(), suite).ask("/").cache.stored is not private


@pytest.mark.parametrize("chain", [["-----BEGIN"], []])
def test_the_same_over_asgi(chain: list[str]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        fields = [(name.encode(), value.encode()) for name, value in FOR_ALL.items()]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"page"})

    sent = ask(Suite().asgi(app), extensions={"tls": {"client_cert_chain": chain}})
    assert (b"stored" in dict(sent[0]["headers"])[b"cache-status"]) is not bool(chain)


# How code is read


def test_layers_are_found_under_decorators_of_any_kind() -> None:
    def view() -> None:
        raise AssertionError("it is never called")

    def decorate(inner: Any) -> Any:
        def around(*given: Any) -> Any:
            return inner(*given)

        return around

    class Holder:
        @decorate
        def method(self) -> None:
            """A view."""

    assert view in list(layers(decorate(functools.partial(decorate(view)))))
    assert Holder.__dict__["method"] in list(layers(Holder().method))
    assert list(layers(3)) == []


def test_layers_that_hold_each_other_end() -> None:
    def one() -> Any:
        return two

    def two() -> Any:
        return one

    assert set(layers(one)) == {one, two}
    deep: Any = one
    for _ in range(3 * MOST_LAYERS):
        deep = functools.partial(deep)
    assert len(list(layers(deep))) <= MOST_LAYERS


def address_of(request: Any) -> Any:
    return request.client.host


def test_only_what_is_read_of_the_request_itself_counts() -> None:
    client = frozenset({"client"})
    told: list[Callable[..., Any]] = [
        lambda request: request.client.host,
        lambda words, request: words(request.client),
        lambda request: request.client.host.split(),
        lambda request: request.scope["client"],
        lambda words, request: words(address_of(request)),
    ]
    assert [reads_of(each, "request", client) for each in told] == ["client"] * len(told)
    assert reads_of(lambda asked: asked.client, "asked", client) == "client"
    for other in (
        lambda request: request.app.state.client.get("/"),
        lambda db, request: db.client(request),
        lambda request: request.query_params["client"],
        lambda self: self.client,
    ):
        assert reads_of(other, "request", client) == ""


@pytest.mark.parametrize(
    ("check", "told"),
    [
        (lambda request: request.META["REMOTE_ADDR"], "REMOTE_ADDR"),
        (lambda request: request.META.get("HTTP_X_FORWARDED_FOR"), "HTTP_X_FORWARDED_FOR"),
        (lambda request: request.headers["X-Real-IP"], "X-Real-IP"),
        (lambda request: request.headers["X-Request-Id"], ""),
    ],
)
def test_fields_that_tell_an_address_are_named(check: Callable[..., Any], told: str) -> None:
    assert speaks_of(check, ADDRESS) == told


def on_fastapi() -> ASGISite:
    app = FastAPI()

    @app.get("/in")
    @cached("long")
    def inside(request: Request) -> Any:
        return PlainTextResponse(request.client.host if request.client else "")

    @app.get("/field")
    @cached("long")
    def field(x_forwarded_for: Annotated[str, Header()] = "") -> Any:
        return PlainTextResponse(x_forwarded_for)

    @app.get("/state")
    @cached("long")
    def state(request: Request) -> Any:
        return PlainTextResponse(request.app.state.client)

    app.state.client = "of the app"
    return ASGISite(app, Pages(), install(app))


def on_flask() -> WSGISite:
    app = Flask("addresses")

    @app.get("/in")
    @cached("long")
    def inside() -> Any:
        return flask_request.remote_addr

    @app.get("/field")
    @cached("long")
    def field() -> Any:
        return flask_request.headers.get("X-Forwarded-For", "")

    @app.get("/state")
    @cached("long")
    def state() -> Any:
        return flask_request.path

    return WSGISite(app, Pages(), APSPerf().init_app(app))


@pytest.mark.parametrize("make", [on_fastapi, on_flask])
def test_a_view_that_looks_at_the_clients_address_is_not_shared(
    make: Callable[[], ASGISite | WSGISite],
) -> None:
    site = make()
    for target, shared in (("/in", False), ("/field", False), ("/state", True)):
        first, second = site.ask(target), site.ask(target)
        assert (first.status, second.status) == (200, 200)
        assert (first.cache.stored, second.cache.hit) == (shared, shared), target
    other = site.ask("/field", {"X-Forwarded-For": "192.0.2.7"})
    assert other.body == b"192.0.2.7"


def test_what_code_reads_is_named() -> None:
    def check(request: Any) -> Any:
        return request.client.host

    assert reads(check, frozenset({"client", "session"})) == "client"
    assert reads(check, frozenset({"session"})) == ""
