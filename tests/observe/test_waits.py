"""Where requests wait, what connections carry, and what clients are told of it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from apsperf_mw import Suite
from apsperf_mw.asgi_gate import ASGIExchange
from apsperf_mw.errors import SettingError
from apsperf_mw.observe.waits import EVERY_S, queued_s
from apsperf_mw.testing.messages import Request, Response
from tests.observe.raw import scope
from tests.observe.support import MINUTE, page, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.testing.harness import Client

    Wrap = Callable[..., Client]

TOKEN = "0123456789abcdef-timing"


def told(suite: Suite, name: str) -> list[Any]:
    assert suite.flush(20)
    memory = suite.exporter.memory
    assert memory is not None
    return memory.points(name)


def test_a_loop_that_is_held_up_is_seen_to_lag(make_suite: Callable[..., Suite]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"page"})

    suite = make_suite()
    wrapped = suite.asgi(app)

    async def nothing(_: Any = None) -> Any:
        """Take it."""

    async def main() -> None:
        await wrapped(scope(), nothing, nothing)
        blocked = asyncio.create_task(anyio.to_thread.run_sync(time.sleep, 4 * EVERY_S))
        await asyncio.sleep(EVERY_S * 0.8)
        time.sleep(EVERY_S)  # noqa: ASYNC251 - it is what is measured
        await blocked

    asyncio.run(main())
    (lag,) = told(suite, "apsperf.eventloop.lag")
    assert lag.max > EVERY_S / 2
    assert lag.count >= 2
    (wait,) = told(suite, "apsperf.threadpool.wait")
    assert wait.count


@pytest.mark.parametrize(
    ("value", "waited"),
    [
        (b"t=%.3f", 2.0),
        (b"%.3f", 2.0),
        (b"", 0.0),
        (b"junk", 0.0),
        (b"t=nan", 0.0),
        (b"t=-1", 0.0),
        (b"t=99999999999999999999999999999", 0.0),
        (b"t=1", 0.0),
    ],
)
def test_the_wait_before_us_is_what_a_proxy_says(value: bytes, waited: float) -> None:
    line = value % (time.time() - 2.0) if b"%" in value else value
    x = ASGIExchange(scope(headers=[(b"x-request-start", line)]), "GET", 0.0)
    assert queued_s(x) == pytest.approx(waited, abs=0.5)


@pytest.mark.parametrize("factor", [1e3, 1e6, 1e9])
def test_it_may_say_so_in_any_unit(factor: float) -> None:
    line = b"t=%d" % int((time.time() - 2.0) * factor)
    x = ASGIExchange(scope(headers=[(b"x-request-start", line)]), "GET", 0.0)
    assert queued_s(x) == pytest.approx(2.0, abs=0.5)


def test_connections_are_counted_with_their_messages(make_suite: Callable[..., Suite]) -> None:
    suite = make_suite()
    during: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": "x"})
        await send({"type": "websocket.send", "text": "bye"})
        during.extend(point.value for point in await anyio.to_thread.run_sync(active))

    def active() -> list[Any]:
        return told(suite, "apsperf.websocket.active")

    wrapped = suite.asgi(app)
    messages = [{"type": "websocket.connect"}, *[{"type": "websocket.receive"}] * 3]

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "websocket.disconnect"}

    async def send(_: Any) -> None:
        """Take it."""

    asyncio.run(wrapped(scope(type="websocket"), receive, send))
    assert during == [1]
    assert [point.value for point in active()] == [0]
    counts = {
        point.attributes["apsperf.direction"]: point.value
        for point in told(suite, "apsperf.websocket.messages")
    }
    assert counts == {"received": 3, "sent": 4}
    (duration,) = told(suite, "apsperf.websocket.duration")
    assert duration.count == 1


def test_the_time_is_told_to_who_has_the_token(wrap: Wrap) -> None:
    client = wrap(plain, timing={"server_timing": "token", "token": TOKEN})
    assert client.ask().header("server-timing") is None
    assert client.ask("/", {"APSPerf-Token": "wrong"}).header("server-timing") is None
    said = client.ask("/", {"APSPerf-Token": TOKEN}).header("server-timing")
    assert said is not None
    assert said.startswith("app;dur=")


def test_a_token_is_needed_where_it_is_asked_for() -> None:
    with pytest.raises(SettingError, match=r"timing.token: not set"):
        Suite(timing={"server_timing": "token"})


class Ids:
    """An app that notes the ids that it sees."""

    def __init__(self, *headers: tuple[str, str]) -> None:
        self.seen: list[str | None] = []
        self.headers = headers

    def __call__(self, request: Request) -> Response:
        self.seen.append(request.header("X-Request-ID"))
        return page(*self.headers)


def test_a_request_without_an_id_gets_one(wrap: Wrap) -> None:
    app = Ids()
    client = wrap(app, timing={"request_id": True})
    ids = [client.ask().header("x-request-id") for _ in range(3)]
    assert ids == app.seen
    assert len(set(ids)) == 3
    assert all(each and len(each) == 32 for each in ids)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-1.2_3", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("<b>", False)],
)
def test_an_id_of_the_callers_goes_on_where_it_is_sound(wrap: Wrap, given: str, kept: bool) -> None:
    app = Ids()
    client = wrap(app, timing={"request_id": True})
    told_id = client.ask("/", {"X-Request-ID": given}).header("x-request-id")
    assert app.seen == [told_id]
    assert (told_id == given) == kept


def test_each_hit_has_its_own_id_and_the_apps_own_stays(wrap: Wrap) -> None:
    client = wrap(Ids(*MINUTE), timing={"request_id": True})
    assert len({client.ask().header("x-request-id") for _ in range(3)}) == 3
    own = wrap(Ids(("X-Request-ID", "mine")), timing={"request_id": True})
    assert own.ask().header("x-request-id") == "mine"


def test_by_default_no_id_is_made(wrap: Wrap) -> None:
    app = Ids()
    assert wrap(app).ask().header("x-request-id") is None
    assert app.seen == [None]
