"""Statements within requests: their shapes, their time, their spans; and the store's I/O."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from time import sleep
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw import Suite
from apsperf_mw.observe.fingerprints import MOST_SHAPE, shape_of, verb_of
from apsperf_mw.testing.messages import Request, Response
from tests.data.support import Shared, SharedSuspending
from tests.observe.support import MINUTE, exported, make_client, page, points, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.testing.harness import Client

    Wrap = Callable[..., Client]

SHAPES = [
    ("SELECT * FROM a WHERE b = 'x''y' AND c = 1.5e3", "SELECT * FROM a WHERE b = ? AND c = ?"),
    ("select 1", "select ?"),
    ("SELECT  a1,\n\tb2 FROM t3", "SELECT a1, b2 FROM t3"),
    ("SELECT a FROM b WHERE c IN (1, 2, 3)", "SELECT a FROM b WHERE c IN (?, ...)"),
    ("SELECT a FROM b WHERE c IN (%s, %s)", "SELECT a FROM b WHERE c IN (?, ...)"),
    ("SELECT :name, $1, @x, %(y)s, ?", "SELECT ?, ?, ?, ?, ?"),
    ("SELECT a -- s3cret\n, b /* s3cret */ FROM c", "SELECT a , b FROM c"),
    ("SELECT $tag$ s3cret ' $tag$, 0xFF, -7", "SELECT ?, ?, ?"),
    ("SELECT 's3cret", "SELECT ?"),
    ("INSERT INTO a VALUES (1, 'b')", "INSERT INTO a VALUES (?, ...)"),
    ("", ""),
]


@pytest.mark.parametrize(("statement", "shape"), SHAPES)
def test_statements_of_one_shape_are_the_same(statement: str, shape: str) -> None:
    assert shape_of(statement) == shape


@given(st.text(max_size=2000), st.from_regex(r"[a-z0-9]{8,20}", fullmatch=True))
def test_no_text_of_a_statement_is_told(rest: str, secret: str) -> None:
    shape = shape_of(f"SELECT '{secret}' " + rest.replace("'", ""))
    assert not shape.startswith(f"SELECT {secret}")
    assert f"'{secret}'" not in shape
    assert len(shape) <= MOST_SHAPE


@pytest.mark.parametrize(
    ("shape", "verb"), [("select ?", "SELECT"), ("(SELECT ?)", "SELECT"), ("", ""), ("?", "")]
)
def test_the_verb_is_the_first_word(shape: str, verb: str) -> None:
    assert verb_of(shape) == verb


class Shop:
    """An app with a real database."""

    def __init__(self) -> None:
        self.database = sqlite3.connect(":memory:", check_same_thread=False)
        self.database.execute("CREATE TABLE tracks (album INT)")
        self.suite: Suite | None = None

    def __call__(self, request: Request) -> Response:
        assert self.suite is not None
        for number in range(int(request.target[1:])):
            query = f"SELECT * FROM tracks WHERE album = {number}"
            with self.suite.statement(query, "sqlite"):
                self.database.execute(query).fetchall()
        return page()

    def close(self) -> None:
        self.database.close()


def test_statements_count_for_their_request(wrap: Wrap, caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop()
    client = wrap(shop, timing={"server_timing": "on"})
    shop.suite = client.suite
    said = client.ask("/7").header("server-timing")
    assert said is not None
    assert ", db;dur=" in said
    assert said.endswith(";desc=7")
    *children, server = exported(client)
    assert [child.name for child in children] == ["SELECT sqlite"] * 7
    for child in children:
        assert child.kind.name == "CLIENT"
        assert child.parent is not None
        assert child.parent.span_id == (server.context and server.context.span_id)
        assert dict(child.attributes or {}) == {
            "db.system.name": "sqlite",
            "db.operation.name": "SELECT",
            "db.query.text": "SELECT * FROM tracks WHERE album = ?",
        }
    (point,) = points(client, "db.client.operation.duration")
    assert point.count == 7
    assert tuple(point.explicit_bounds) == (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
    (row,) = client.suite.report().rows
    assert row.queries_per_request == 7
    (line,) = [each.getMessage() for each in caplog.records if each.name == "apsperf.database"]
    assert line.startswith("N+1: /items/{id} sent 7 statements of one shape in a request")
    shop.close()


def test_a_statement_that_fails_and_one_that_is_slow(
    wrap: Wrap, caplog: pytest.LogCaptureFixture
) -> None:
    suites: list[Suite] = []

    def delete() -> None:
        with suites[0].statement("DELETE FROM a WHERE b = 's3cret'"):
            sleep(0.02)
            raise KeyError("s3cret")

    def app(_: Request) -> Response:
        with pytest.raises(KeyError):
            delete()
        return page()

    client = wrap(app, logging={"slow_query_s": 0.01})
    suites.append(client.suite)
    client.ask()
    child, server = exported(client)
    assert child.status.status_code.name == "ERROR"
    assert server.status.status_code.name == "UNSET"
    (point,) = points(client, "db.client.operation.duration")
    assert point.attributes["error.type"] == "KeyError"
    (line,) = [each for each in caplog.records if each.name == "apsperf.database"]
    assert "DELETE FROM a WHERE b = ?" in line.getMessage()
    assert server.context is not None
    assert vars(line)["trace_id"] == f"{server.context.trace_id:032x}"
    assert "s3cret" not in caplog.text + child.to_json()


def test_statements_outside_a_request_are_timed_alone(make_suite: Callable[..., Suite]) -> None:
    suite = make_suite()
    suite.exporter.start()
    with suite.statement("SELECT 1", "sqlite"):
        pass
    assert suite.flush(20)
    memory = suite.exporter.memory
    assert memory is not None
    (point,) = memory.points("db.client.operation.duration")
    assert point.count == 1
    assert not memory.spans


def test_the_statements_of_tasks_count_for_the_request_that_started_them(
    make_suite: Callable[..., Suite],
) -> None:
    suite = make_suite()

    async def query() -> None:
        with suite.statement("SELECT 1", "sqlite"):
            await asyncio.sleep(0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.gather(*[asyncio.create_task(query()) for _ in range(3)])
        await asyncio.to_thread(lambda: asyncio.run(query()))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"page"})

    from tests.observe.raw import ask

    ask(suite.asgi(app))
    assert suite.flush(20)
    memory = suite.exporter.memory
    assert memory is not None
    *children, server = memory.spans
    assert server.context is not None
    assert {child.parent and child.parent.span_id for child in children} == {server.context.span_id}
    assert len(children) == 4


@pytest.mark.parametrize("kind", [Shared, SharedSuspending])
def test_the_io_of_a_remote_store_is_a_span_below(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = ModuleType("far_driver_under_test")
    module.make = lambda _: kind()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    suite = Suite(
        cache={"driver": "far_driver_under_test:make"},
        exporter={"kind": "memory"},
        tracing={"sample_ratio": 1.0},
    )
    client = make_client("asgi", lambda _: page(*MINUTE), suite)
    client.ask()
    client.ask()
    spans = exported(client)
    servers = [span for span in spans if span.kind.name == "SERVER"]
    below = {
        server.context and server.context.span_id: [
            span.name
            for span in spans
            if span.parent and server.context and span.parent.span_id == server.context.span_id
        ]
        for server in servers
    }
    assert list(below.values()) == [["cache read", "cache write"], ["cache read"]]
    suite.close()


def test_a_store_in_the_process_makes_no_spans(wrap: Wrap) -> None:
    client = wrap(lambda _: page(*MINUTE))
    client.ask()
    client.ask()
    assert [span.name for span in exported(client)] == ["GET /items/{id}"] * 2


def test_a_background_refresh_is_linked_and_not_nested(wrap: Wrap) -> None:
    fields = (("Cache-Control", "max-age=0, stale-while-revalidate=60"),)
    client = wrap(lambda _: page(*fields))
    client.ask()
    client.ask()

    def refreshes() -> list[Any]:
        return [span for span in exported(client) if span.name.startswith("refresh")]

    assert wait_until(lambda: bool(refreshes()))
    (refresh,) = refreshes()
    served = [span for span in exported(client) if span.kind.name == "SERVER"][1]
    assert refresh.parent is None
    (link,) = refresh.links
    assert served.context is not None
    assert refresh.context is not None
    assert link.context.span_id == served.context.span_id
    assert refresh.context.trace_id != served.context.trace_id
