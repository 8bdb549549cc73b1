"""FastAPI's and Starlette's guards of every form: an outsider never gets an insider's page."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from slowapi.middleware import SlowAPIMiddleware
from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    SimpleUser,
    UnauthenticatedUser,
    requires,
)
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount, Route

from apsperf_fastapi import SuiteMiddleware, cached, install

if TYPE_CHECKING:
    from collections.abc import Callable

IN, OUT = "10.0.0.1", "192.0.2.9"
TOKEN = {"X-Token": "k", "Host-Key": "k", "Cookie": "tok=k"}
FOR_ALL = {"Cache-Control": "public, max-age=60"}


def need(ok: object) -> None:
    if not ok:
        raise HTTPException(403)


def address_of(req: Request) -> str:
    return req.client.host if req.client else ""


def secret() -> PlainTextResponse:
    return PlainTextResponse("secret", headers=FOR_ALL)


class ByInit:
    def __init__(self, request: Request) -> None:
        need(address_of(request) == IN)


class ByMethod:
    def __call__(self, request: Request) -> None:
        need(self.ip(request) == IN)

    def ip(self, request: Request) -> str:
        return request.client.host if request.client else ""


class Service:
    def check(self, request: Request) -> None:
        self.deeper(request)

    def deeper(self, request: Request) -> None:
        need(request.client is not None and request.client.host == IN)


def by_scope_get(request: Request) -> None:
    need((request.scope.get("client") or [""])[0] == IN)


def by_other_name(request: Request) -> None:
    asked = request
    need(asked.client is not None and asked.client.host == IN)


def by_headers(request: Request) -> None:
    need(request.headers.get("x-token") == "k")


def by_any_header(request: Request) -> None:
    need("k" in request.headers.values())


def by_cookies(request: Request) -> None:
    need(request.cookies.get("tok") == "k")


def by_host_key(host_key: Annotated[str, Header()] = "") -> None:
    need(host_key == "k")


def by_helper(request: Request) -> None:
    need(address_of(request) == IN)


# Older releases of FastAPI do not look names up that stand in a class.
ByInit.__init__.__annotations__["request"] = Request
ByMethod.__call__.__annotations__["request"] = Request

DEPENDENCIES: dict[str, Callable[..., object]] = {
    "a class": ByInit,
    "a method": ByMethod(),
    "a bound method": Service().check,
    "scope.get": by_scope_get,
    "another name": by_other_name,
    "headers": by_headers,
    "any header": by_any_header,
    "cookies": by_cookies,
    "a field like a harmless one": by_host_key,
    "a helper": by_helper,
}


class Guarding(APIRoute):
    def get_route_handler(self) -> Any:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Any:
            need(address_of(request) == IN)
            return await handle(request)

        return handler


def current_user() -> str:
    raise NotImplementedError


def by_token(x_token: Annotated[str, Header()] = "") -> str:
    need(x_token)
    return x_token


def of_a_dependency(app: FastAPI, call: Callable[..., object]) -> None:
    app.get("/in", dependencies=[Depends(call)])(secret)


def of_a_route_class(app: FastAPI) -> None:
    router = APIRouter(route_class=Guarding)
    router.get("/in")(secret)
    app.include_router(router)


def overridden(app: FastAPI) -> None:
    @app.get("/in")
    @cached(60)
    def inside(user: Annotated[str, Depends(current_user)]) -> str:
        return user

    app.dependency_overrides[current_user] = by_token


async def my_ip(request: Request) -> PlainTextResponse:
    return PlainTextResponse(address_of(request), headers=FOR_ALL)


def added(app: Starlette) -> None:
    app.add_route("/in", cached(60)(my_ip))


class ByToken(AuthenticationBackend):
    async def authenticate(self, conn: Any) -> Any:
        if conn.headers.get("x-token") == "k":
            return AuthCredentials(["premium"]), UnauthenticatedUser()
        return None


class OfUser(AuthenticationBackend):
    async def authenticate(self, conn: Any) -> Any:
        if name := conn.headers.get("x-token"):
            return AuthCredentials(["authenticated"]), SimpleUser(name)
        return None


class Inside:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        refused = PlainTextResponse("no", 403)
        await (self.app if scope["client"][0] == IN else refused)(scope, receive, send)


class Copies:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app({**scope, "mine": 1}, receive, send)


class Premium(HTTPEndpoint):
    @requires("premium")
    async def get(self, request: Request) -> PlainTextResponse:
        return secret()


class MyAddress(HTTPEndpoint):
    async def get(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse(self.of(request), headers=FOR_ALL)

    def of(self, request: Request) -> str:
        return address_of(request)


async def plain(request: Request) -> PlainTextResponse:
    return secret()


def of_an_endpoint(app: Starlette) -> None:
    app.router.routes.append(Route("/in", Premium))
    app.add_middleware(AuthenticationMiddleware, backend=ByToken())


def of_an_address(app: Starlette) -> None:
    app.router.routes.append(Route("/in", MyAddress))


def of_a_route(app: Starlette) -> None:
    app.router.routes.append(Route("/in", plain, middleware=[Middleware(Inside)]))


def of_a_mount(app: Starlette) -> None:
    within = [Route("/in", plain)]
    app.router.routes.append(Mount("/deep", routes=within, middleware=[Middleware(Inside)]))


def copied(app: FastAPI) -> None:
    app.get("/in", dependencies=[Depends(by_token)])(secret)
    app.add_middleware(Copies)


def of_a_user_copied(app: FastAPI) -> None:
    @app.get("/in")
    def inside(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hi " + request.user.display_name, headers=FOR_ALL)

    app.add_middleware(AuthenticationMiddleware, backend=OfUser())
    app.add_middleware(Copies)


APPS: dict[str, tuple[type[Starlette], Callable[[Any], None], str]] = {
    "a class of routes": (FastAPI, of_a_route_class, "/in"),
    "an override": (FastAPI, overridden, "/in"),
    "a route that was added": (FastAPI, added, "/in"),
    "the same of Starlette": (Starlette, added, "/in"),
    "an endpoint's method": (Starlette, of_an_endpoint, "/in"),
    "an endpoint's address": (Starlette, of_an_address, "/in"),
    "an endpoint of FastAPI's": (FastAPI, of_an_address, "/in"),
    "a route's middleware": (Starlette, of_a_route, "/in"),
    "a mount's middleware": (Starlette, of_a_mount, "/deep/in"),
    "a copied scope": (FastAPI, copied, "/in"),
    "a copied user": (FastAPI, of_a_user_copied, "/in"),
}


def wrap(app: Any, how: str) -> None:
    if how == "install":
        install(app)
    else:
        app.add_middleware(SuiteMiddleware)


def check(make: Callable[[], Any], target: str, how: str) -> None:
    """After an insider an outsider is answered as bare."""
    bare = TestClient(make(), client=(OUT, 1), raise_server_exceptions=False).get(target)
    app = make()
    wrap(app, how)
    for _ in range(2):
        inside = TestClient(app, client=(IN, 1)).get(target, headers=TOKEN)
        assert inside.status_code == 200
        assert "; stored" not in inside.headers["cache-status"]
        outside = TestClient(app, client=(OUT, 1), raise_server_exceptions=False).get(target)
        assert (outside.status_code, outside.text) == (bare.status_code, bare.text)


@pytest.mark.parametrize("name", DEPENDENCIES)
def test_a_dependency_of_any_form_is_a_guard(name: str) -> None:
    def make() -> FastAPI:
        app = FastAPI()
        of_a_dependency(app, DEPENDENCIES[name])
        return app

    check(make, "/in", "install")


@pytest.mark.parametrize("how", ["install", "add_middleware"])
@pytest.mark.parametrize("name", APPS)
def test_whatever_stands_before_a_route_is_a_guard(name: str, how: str) -> None:
    kind, build, target = APPS[name]

    def make() -> Any:
        app = kind()
        build(app)
        return app

    check(make, target, how)


def wants(accept_language: Annotated[str, Header()] = "en") -> str:
    return accept_language


def reads_what_is_wanted(request: Request) -> str:
    return request.headers.get("accept-language", "en")


def of_the_app(request: Request) -> Any:
    return request.app.state


class Paged:
    def __init__(self, page: int = 1) -> None:
        self.page = page


@pytest.mark.parametrize("call", [wants, reads_what_is_wanted, of_the_app, Paged])
def test_what_is_no_guard_keeps_nothing_out(call: Callable[..., object]) -> None:
    app = FastAPI()
    of_a_dependency(app, call)
    install(app)
    client = TestClient(app)
    assert "; stored" in client.get("/in").headers["cache-status"]
    assert "; hit" in client.get("/in").headers["cache-status"]


def test_middleware_that_serves_everybody_alike_is_none() -> None:
    within = [Route("/in", plain, middleware=[Middleware(GZipMiddleware)])]
    app = Starlette(routes=[Mount("/deep", routes=within, middleware=[Middleware(GZipMiddleware)])])
    install(app)
    client = TestClient(app)
    client.get("/deep/in")
    assert "; hit" in client.get("/deep/in").headers["cache-status"]


def test_a_mark_counts_where_the_scope_is_copied() -> None:
    app = FastAPI()
    app.get("/in")(cached(60)(lambda: "for all"))
    app.add_middleware(Copies)
    install(app)
    client = TestClient(app)
    client.get("/in")
    assert "; hit" in client.get("/in").headers["cache-status"]


def for_insiders() -> PlainTextResponse:
    return PlainTextResponse("for insiders", headers=FOR_ALL)


class CopyingRouter(APIRouter):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await super().__call__(dict(scope), receive, send)


def of_a_router_that_copies() -> FastAPI:
    app = FastAPI()
    app.router = CopyingRouter()
    app.get("/in", dependencies=[Depends(by_scope_get)])(for_insiders)
    return app


def of_an_app_within_that_copies() -> FastAPI:
    app, within = FastAPI(), FastAPI()
    within.get("/", dependencies=[Depends(by_scope_get)])(for_insiders)
    within.add_middleware(Copies)
    app.mount("/in", within)
    return app


def of_a_stack_in_disguise() -> FastAPI:
    class Site(FastAPI):
        pass

    @functools.wraps(FastAPI.build_middleware_stack)
    def build(self: Any) -> Any:
        return Copies(FastAPI.build_middleware_stack(self))

    Site.build_middleware_stack = build  # type: ignore[method-assign]
    app = Site()
    app.get("/in", dependencies=[Depends(by_scope_get)])(for_insiders)
    return app


@pytest.mark.parametrize("how", ["install", "add_middleware"])
@pytest.mark.parametrize(
    ("make", "target"),
    [
        (of_a_router_that_copies, "/in"),
        (of_an_app_within_that_copies, "/in/"),
        (of_a_stack_in_disguise, "/in"),
    ],
)
def test_a_guard_is_one_where_the_scope_is_copied(make: Any, target: str, how: str) -> None:
    check(make, target, how)


def test_a_router_that_is_put_there_later_is_heard() -> None:
    app = FastAPI()
    install(app)
    app.router = CopyingRouter()
    app.get("/in", dependencies=[Depends(by_scope_get)])(for_insiders)
    inside = TestClient(app, client=(IN, 1))
    assert [inside.get("/in").status_code for _ in range(2)] == [200, 200]
    assert "; stored" not in inside.get("/in").headers["cache-status"]
    assert TestClient(app, client=(OUT, 1)).get("/in").status_code == 403


def test_an_override_is_a_guard_as_long_as_it_is_there() -> None:
    app = FastAPI()
    overridden(app)
    install(app)
    client = TestClient(app)
    assert client.get("/in", headers={"X-Token": "alice"}).json() == "alice"
    assert client.get("/in", headers={"X-Token": "bob"}).json() == "bob"
    app.dependency_overrides[current_user] = lambda: "all"
    assert "; stored" in client.get("/in").headers["cache-status"]


def test_the_limits_of_all_routes_go_on_counting() -> None:
    app = FastAPI()
    app.state.limiter = Limiter(key_func=lambda request: "me", default_limits=["2/minute"])
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)  # type: ignore[arg-type]
    app.add_middleware(SlowAPIMiddleware)
    app.get("/in")(cached(60)(lambda: "x"))
    install(app)
    client = TestClient(app)
    assert [client.get("/in").status_code for _ in range(4)] == [200, 200, 429, 429]
