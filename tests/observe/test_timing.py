"""Request durations, as both shells report them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from apsperf_mw import Suite
from apsperf_mw.observe.measures import DURATION_BOUNDS_S
from apsperf_mw.testing.messages import Request, Response
from tests.observe.raw import ask
from tests.observe.support import MINUTE, metric, page, plain, points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apsperf_mw.testing.harness import Client

    Wrap = Callable[..., Client]

DURATION = "http.server.request.duration"
FIRST_BYTE = "apsperf.server.first_byte.duration"


@pytest.mark.parametrize(
    ("name", "unit"), [(DURATION, "s"), (FIRST_BYTE, "s"), ("apsperf.cache.requests", "{request}")]
)
def test_names_and_units(wrap: Wrap, name: str, unit: str) -> None:
    client = wrap(plain)
    client.ask("/items/5")
    assert len(points(client, name)) == 1
    assert metric(client.suite, name).unit == unit


def test_a_point_of_the_durations(wrap: Wrap) -> None:
    client = wrap(plain)
    client.ask("/items/5?token=secret")
    client.ask("/items/6")
    (point,) = points(client, DURATION)
    assert point.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "http.response.status_code": 200,
        "http.route": "/items/{id}",
    }
    assert tuple(point.explicit_bounds) == DURATION_BOUNDS_S
    assert point.count == sum(point.bucket_counts) == 2
    assert 0 < point.min <= point.max <= point.sum
    assert point.start_time_unix_nano < point.time_unix_nano
    data = metric(client.suite, DURATION).data
    assert data.aggregation_temporality.name == "CUMULATIVE"


def test_what_the_cache_did(wrap: Wrap) -> None:
    client = wrap(lambda _: page(*MINUTE))
    for _ in range(3):
        client.ask("/items/5")
    client.ask("/items/5", method="POST")
    told = {
        (point.attributes["apsperf.cache.result"], point.attributes["http.route"]): point.value
        for point in points(client, "apsperf.cache.requests")
    }
    assert told == {
        ("miss", "/items/{id}"): 1,
        ("hit", "/items/{id}"): 2,
        ("bypass", "/items/{id}"): 1,
    }


def test_an_unknown_route_has_no_template(wrap: Wrap) -> None:
    client = wrap(lambda _: Response(404, (), [b"no"]))
    for n in range(20):
        client.ask(f"/nowhere/{n}", {"Host": f"host{n}.test"})
    (point,) = points(client, DURATION)
    assert point.count == 20
    assert point.attributes["http.response.status_code"] == 404
    assert "http.route" not in point.attributes
    assert "error.type" not in point.attributes


def test_methods_that_are_not_known_are_one(wrap: Wrap) -> None:
    client = wrap(lambda _: page())
    for n in range(20):
        client.ask(method=f"BREW{n}")
    client.ask(method="get")
    (point,) = points(client, DURATION)
    assert point.attributes["http.request.method"] == "_OTHER"
    assert point.count == 21


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_error_is_its_own_type(wrap: Wrap, status: int) -> None:
    client = wrap(lambda _: page(status=status))
    client.ask()
    (point,) = points(client, DURATION)
    assert point.attributes["error.type"] == str(status)
    assert point.attributes["http.response.status_code"] == status


def test_an_exception_is_named(wrap: Wrap) -> None:
    client = wrap(lambda _: page(error=KeyError("secret")))
    with pytest.raises(KeyError):
        client.ask()
    (point,) = points(client, DURATION)
    assert point.attributes["error.type"] == "KeyError"
    assert "http.response.status_code" not in point.attributes
    assert points(client, FIRST_BYTE) == []


def test_the_cap_of_series_is_a_setting(wrap: Wrap) -> None:
    client = wrap(
        lambda request: page(status=int(request.target[1:])),
        exporter={"kind": "memory", "max_series": 5},
    )
    for status in range(200, 220):
        client.ask(f"/{status}")
    told = points(client, DURATION)
    assert len(told) == 5
    assert told[-1].attributes == {"otel.metric.overflow": True}
    assert sum(point.count for point in told) == 20


class Clock:
    """The shells' clock, moved by the app."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        for module in ("asgi", "wsgi", "hooks"):
            patch.setattr(f"apsperf_mw.{module}.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_first_byte_and_total_of_a_stream(wrap: Wrap, clock: Clock) -> None:
    def slow() -> Iterator[bytes]:
        for _ in range(3):
            clock.now += 2.0
            yield b"part"

    def app(_: Request) -> Response:
        clock.now += 1.0
        return Response(200, (), slow())

    client = wrap(app)
    client.ask()
    (first,) = points(client, FIRST_BYTE)
    (total,) = points(client, DURATION)
    assert (first.sum, total.sum) == (1.0, 7.0)


def test_a_stream_that_breaks_is_timed_until_then(wrap: Wrap, clock: Clock) -> None:
    def broken() -> Iterator[bytes]:
        yield b"part"
        clock.now += 3.0
        raise ConnectionError("broken")

    client = wrap(lambda _: Response(200, (), broken()))
    with pytest.raises(OSError, match="broken"):
        client.ask()
    (total,) = points(client, DURATION)
    assert total.sum == 3.0
    assert total.attributes["error.type"] == "ConnectionError"
    assert total.attributes["http.response.status_code"] == 200


def test_background_work_is_not_in_it(make_suite: Callable[..., Suite], clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        clock.now += 1.0
        await send({"type": "http.response.body", "body": b"page"})
        clock.now += 60.0

    suite = make_suite()
    ask(suite.asgi(app))
    assert suite.flush(20)
    assert suite.exporter.memory is not None
    (point,) = suite.exporter.memory.points(DURATION)
    assert point.sum == 1.0


def test_server_timing_only_when_asked(wrap: Wrap) -> None:
    own = ("Server-Timing", "db;dur=53")
    client = wrap(lambda _: page(own))
    assert client.ask().lines("server-timing") == ["db;dur=53"]
    client = wrap(lambda _: page(own), timing={"server_timing": "on"})
    lines = client.ask().lines("server-timing")
    assert lines[0] == "db;dur=53"
    assert lines[1].startswith("app;dur=")
    assert lines[1].endswith("cache;desc=miss")
    assert len(lines) == 2


def test_server_timing_of_a_hit_is_not_the_stored_one(wrap: Wrap) -> None:
    client = wrap(lambda _: page(*MINUTE), timing={"server_timing": "on"})
    client.ask()
    (line,) = client.ask().lines("server-timing")
    assert line == "cache;desc=hit"


def test_switched_off_nothing_is_timed(wrap: Wrap) -> None:
    client = wrap(plain, timing={"enabled": False})
    client.ask()
    assert points(client, DURATION) == []
