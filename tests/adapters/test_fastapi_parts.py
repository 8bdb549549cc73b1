"""What FastAPI users get besides the cache: the middleware, dependencies, mounted apps."""

from __future__ import annotations

import json
import sys
import warnings
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from click.testing import CliRunner
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from apsperf_fastapi import SuiteMiddleware, cached, get_cache, get_suite, install
from apsperf_mw import Suite
from apsperf_mw.cli import main
from apsperf_mw.data.cache import DataCache
from apsperf_mw.errors import SettingError
from tests.adapters.support import Pages

with warnings.catch_warnings():
    # Older releases of Starlette use names that anyio has given up since.
    warnings.simplefilter("ignore", DeprecationWarning)
    from fastapi.testclient import TestClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pages = Pages()
Cache = Annotated[DataCache, Depends(get_cache)]


@cached("short", tags=["plain"])
def plain() -> str:
    return pages.turn("plain")


@cached("short")
async def later(number: int) -> str:
    return pages.turn(f"later {number}")


async def data(key: str, cache: Cache) -> str:
    value: str = await cache.aremember(key, lambda: pages.turn("data"), "short")
    return value


def purge(suite: Annotated[Suite, Depends(get_suite)]) -> None:
    suite.purge("plain")


def build(app: FastAPI) -> FastAPI:
    pages.calls.clear()
    inner = APIRouter(prefix="/v1")
    inner.get("/later/{number}")(later)
    app.get("/plain")(plain)
    app.get("/data/{key}")(data)
    app.post("/purge")(purge)
    app.include_router(inner, prefix="/api")
    return app


def by_install(**settings: Any) -> FastAPI:
    app = FastAPI()
    install(app, **settings)
    return build(app)


def by_middleware(**settings: Any) -> FastAPI:
    app = FastAPI()
    app.add_middleware(SuiteMiddleware, **settings)
    return build(app)


def by_argument(**settings: Any) -> FastAPI:
    return build(FastAPI(middleware=[Middleware(SuiteMiddleware, suite=Suite(**settings))]))


WAYS = [by_install, by_middleware, by_argument]


@pytest.mark.parametrize("make", WAYS)
def test_each_way_to_put_the_suite_there_works_alike(make: Any) -> None:
    client = TestClient(make())
    bodies = [client.get(path).json() for path in ("/plain", "/plain", "/api/v1/later/5")]
    assert bodies == ["plain 1", "plain 1", "later 5 1"]
    assert [client.get("/data/a").json() for _ in range(2)] == ["data 1", "data 1"]
    client.post("/purge")
    assert client.get("/plain").json() == "plain 2"
    assert client.get("/api/v1/later/5").headers["Cache-Status"].startswith("apsperf; hit")


@pytest.mark.parametrize("make", WAYS)
def test_routes_are_known_by_their_templates(make: Any) -> None:
    app: FastAPI = make(exporter={"kind": "memory"}, tracing={"sample_ratio": 1.0})
    with TestClient(app) as client:
        client.get("/api/v1/later/5")
    found: list[Suite] = []

    @app.get("/suite")
    def look(suite: Annotated[Suite, Depends(get_suite)]) -> None:
        found.append(suite)

    TestClient(app).get("/suite")
    assert found[0].flush(10)
    memory = found[0].exporter.memory
    assert memory is not None
    assert memory.spans[0].name == "GET /api/v1/later/{number}"
    assert "GET /api/v1/later/{number}" in str(found[0].doctor())


def test_a_dependency_is_replaced_as_any_other() -> None:
    app = by_install()
    other = Suite()
    app.dependency_overrides[get_cache] = lambda: other.cache(space="tests")
    assert TestClient(app).get("/data/a").json() == "data 1"
    assert other.cache(space="tests").get("a") == "data 1"


def test_an_app_without_a_suite_says_so() -> None:
    client = TestClient(build(FastAPI()))
    with pytest.raises(SettingError, match="no suite is round this app"):
        client.get("/data/a")


def test_a_suite_and_settings_are_not_both_given() -> None:
    with pytest.raises(SettingError, match="suite: given beside cache; accepted: one of the two"):
        SuiteMiddleware(FastAPI(), suite=Suite(), cache={})


def test_the_signature_and_openapi_stay() -> None:
    bare, marked = FastAPI(), FastAPI()

    async def view(number: int, word: str = "x") -> dict[str, int]:
        return {"number": number}

    bare.get("/items/{number}")(view)
    install(marked)
    marked.get("/items/{number}")(cached("short")(view))
    assert bare.openapi() == marked.openapi()
    assert TestClient(marked).get("/items/x").status_code == 422


@pytest.mark.parametrize("make", [install, lambda app: app.add_middleware(SuiteMiddleware)])
def test_the_apps_own_lifespan_runs_and_its_state_is_there(make: Any) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        events.append("up")
        yield {"name": "state"}
        events.append("down")

    app = FastAPI(lifespan=lifespan)
    make(app)

    @app.get("/state")
    def state(request: Request) -> str:
        return str(request.state.name)

    with TestClient(app) as client:
        assert client.get("/state").json() == "state"
    assert events == ["up", "down"]


def test_a_mounted_app_has_a_suite_of_its_own() -> None:
    outer, inner = FastAPI(), by_install()
    outer.mount("/shop", inner)

    @outer.get("/bare")
    def bare() -> str:
        return pages.turn("bare")

    client = TestClient(outer)
    assert [client.get("/shop/plain").json() for _ in range(2)] == ["plain 1", "plain 1"]
    assert "Cache-Status" not in client.get("/bare").headers


def test_hits_pass_through_what_stands_outside() -> None:
    app, seen = FastAPI(), list[str]()
    build(app)
    app.add_middleware(SuiteMiddleware)

    @app.middleware("http")
    async def outside(request: Request, call_next: Any) -> Any:
        seen.append(request.url.path)
        return await call_next(request)

    client = TestClient(app)
    assert [client.get("/plain").json() for _ in range(2)] == ["plain 1", "plain 1"]
    assert seen == ["/plain", "/plain"]


def test_background_tasks_and_websockets_are_as_without() -> None:
    done: list[str] = []

    async def task(request: Request) -> PlainTextResponse:
        work = BackgroundTask(done.append, "work")
        return PlainTextResponse("x", headers={"Cache-Control": "max-age=60"}, background=work)

    app = Starlette(routes=[Route("/task", task)], middleware=[Middleware(SuiteMiddleware)])
    client = TestClient(app)
    assert [client.get("/task").text for _ in range(2)] == ["x", "x"]
    assert done == ["work"]
    talking = by_middleware()

    @talking.websocket("/talk")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    with TestClient(talking).websocket_connect("/talk") as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "hello"


SHOP = """
from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer
from apsperf_fastapi import SuiteMiddleware, cached, install

app = FastAPI()
{how}

@app.get("/albums", tags=["x"])
@cached("short", tags=["albums"])
def albums() -> str: ...

@app.get("/mine", dependencies=[Depends(HTTPBearer())])
@cached("short")
def mine() -> str: ...
"""


@pytest.mark.parametrize("how", ["install(app)", "app.add_middleware(SuiteMiddleware)"])
def test_the_doctor_looks_at_an_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    (tmp_path / "shop_of_doctor.py").write_text(SHOP.format(how=how))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shop_of_doctor", raising=False)
    told = CliRunner().invoke(main, ["doctor", "--app", "shop_of_doctor:app"])
    assert told.exit_code == 0, told.output
    assert "ok      GET /albums: cached for short, tags albums" in told.output
    assert "warning GET /mine: marked, but behind HTTPBearer" in told.output
    monkeypatch.delitem(sys.modules, "shop_of_doctor")
    told = CliRunner().invoke(main, ["doctor", "--app", "shop_of_doctor:app", "--json"])
    assert json.loads(told.output)["findings"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nosuch:app", "does not load"),
        ("tests.observe.raw:scope", "accepted: an ASGI app"),
        ("x", "module:attr"),
    ],
)
def test_the_doctor_says_what_it_cannot_look_at(name: str, said: str) -> None:
    told = CliRunner().invoke(main, ["doctor", "--app", name])
    assert told.exit_code == 2
    assert said in told.output
