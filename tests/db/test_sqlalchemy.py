"""SQLAlchemy's engines, plain and async: what they send is noted, and nothing else changes."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import Callable, Iterator
from time import sleep
from typing import Any
from weakref import ref

import pytest
from sqlalchemy import create_engine, event, insert, select, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from apsperf_mw import Suite
from apsperf_mw.db import sqlalchemy as seam
from apsperf_mw.errors import SettingError
from apsperf_mw.testing.messages import Request
from tests.db.models import Album, Artist, shop
from tests.observe.support import exported, page, points

Wrap = Callable[..., Any]


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = shop()
    yield made
    made.dispose()


@pytest.fixture(params=["the seam", "events"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of hearing of statements."""
    if request.param == "events":
        monkeypatch.setattr(seam, "holds", lambda: False)
    return str(request.param)


def calls(suite: Suite) -> dict[str, int]:
    return {row.statement: row.calls for row in suite.database().stats().rows}


def test_statements_are_counted_by_shape(engine: Engine, way: str) -> None:
    suite = Suite()
    assert suite.database().attach(engine) is engine
    with engine.begin() as connection:
        for number in range(3):
            assert connection.execute(text(f"SELECT {number}")).scalar() == number
        rows = [{"id": 100 + n, "name": "x", "bio": "y"} for n in range(3)]
        connection.execute(insert(Artist), rows)
        connection.exec_driver_sql("SELECT 'raw'").close()
    counted = calls(suite)
    assert counted["SELECT ?"] == 4
    assert [count for shape, count in counted.items() if shape.startswith("INSERT")] == [1]
    assert len(counted) == 2


def test_what_fails_is_counted_and_raised_as_without(engine: Engine, way: str) -> None:
    suite = Suite()
    suite.database().attach(engine)
    with engine.connect() as connection, pytest.raises(OperationalError, match="nowhere"):
        connection.execute(text("SELECT * FROM nowhere"))
    (row,) = suite.database().stats().rows
    assert (row.calls, row.errors, row.system) == (1, 1, "sqlite")


@pytest.mark.parametrize("order", ["the first first", "the last first"])
def test_attached_twice_it_counts_once_and_lets_go(engine: Engine, way: str, order: str) -> None:
    suite, other = Suite(), Suite()
    for _ in range(2):
        suite.database().attach(engine)
    other.database().attach(engine)

    def ask() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    ask()
    assert (calls(suite), calls(other)) == ({"SELECT ?": 1}, {"SELECT ?": 1})
    first, last = (suite, other) if order == "the first first" else (other, suite)
    first.close()
    ask()
    assert (calls(first), calls(last)) == ({"SELECT ?": 1}, {"SELECT ?": 2})
    last.database().detach(engine)
    last.database().detach(engine)
    ask()
    assert (calls(first), calls(last)) == ({"SELECT ?": 1}, {"SELECT ?": 2})
    if way == "the seam" and order == "the last first":
        assert not set(seam.SEAMS) & set(vars(engine.dialect))


def test_an_engine_does_not_live_longer_for_it(way: str) -> None:
    suite = Suite()
    engine = create_engine("sqlite://")
    suite.database().attach(engine)
    engine.dispose()
    known = ref(engine)
    del engine
    gc.collect()
    assert known() is None
    suite.close()


def test_listeners_of_the_apps_own_hear_the_same(engine: Engine) -> None:
    heard: list[str] = []
    event.listen(engine, "do_execute", lambda cursor, sql, *_: heard.append(sql))
    Suite().database().attach(engine)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert heard == ["SELECT 1"]


def test_an_async_engine(way: str) -> None:
    suite = Suite()

    async def ask() -> None:
        engine = create_async_engine("sqlite+aiosqlite://")
        suite.database().attach(engine)
        async with engine.connect() as connection:
            for _ in range(3):
                assert (await connection.execute(text("SELECT 1"))).scalar() == 1
        await engine.dispose()

    asyncio.run(ask())
    assert calls(suite) == {"SELECT ?": 3}


def test_what_is_no_engine_is_refused() -> None:
    with pytest.raises(SettingError, match="accepted: an Engine or AsyncEngine"):
        Suite().database().attach("sqlite://")


def test_an_inside_that_is_not_known_is_said_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seam.holds.cache_clear()
    monkeypatch.setattr(seam.Seam, "_noted", lambda _, execute: execute)
    suite = Suite()
    try:
        with pytest.warns(RuntimeWarning, match="listens to its events"):
            suite.database().attach(engine)
        suite.database().attach(create_engine("sqlite://"))  # it connects to nothing
    finally:
        seam.holds.cache_clear()
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert calls(suite) == {"SELECT ?": 1}


def test_statements_belong_to_their_request(engine: Engine, wrap: Wrap) -> None:
    def app(request: Request) -> Any:
        with Session(engine) as session:
            session.scalars(select(Artist)).all()
            session.scalars(select(Album)).all()
        return page()

    client = wrap(app, timing={"server_timing": "on"})
    client.suite.database().attach(engine)
    said = client.ask("/").header("server-timing")
    assert said is not None
    assert said.endswith(";desc=2")
    *children, server = exported(client)
    assert [child.name for child in children] == ["SELECT sqlite"] * 2
    assert all(
        child.parent and server.context and child.parent.span_id == server.context.span_id
        for child in children
    )
    (point,) = points(client, "db.client.operation.duration")
    assert point.count == 2


def follow(session: Session) -> None:
    for album in session.scalars(select(Album)):
        assert album.artist.name


def follow_back(session: Session) -> None:
    for artist in session.scalars(select(Artist)):
        assert artist.albums


def deferred(session: Session) -> None:
    for artist in session.scalars(select(Artist)):
        assert artist.bio


def get(session: Session) -> None:
    for number in range(1, 11):
        assert session.get(Artist, number)


def literal(session: Session) -> None:
    for number in range(1, 11):
        session.execute(text(f"SELECT name FROM artist WHERE id = {number}")).all()


def core(session: Session) -> None:
    for number in range(1, 11):
        session.connection().execute(select(Artist.name).where(Artist.id == number)).all()


def expired(session: Session) -> None:
    artists = session.scalars(select(Artist)).all()
    session.commit()
    assert [artist.name for artist in artists]


def update(session: Session) -> None:
    for artist in session.scalars(select(Artist)).all():
        artist.name += "!"
        session.flush()


def serve(wrap: Wrap, engine: Engine, ask: Callable[[Session], None]) -> None:
    """One request that asks so, and what is told of it."""

    def app(request: Request) -> Any:
        with Session(engine) as session:
            ask(session)
        return page()

    client = wrap(app)
    client.suite.database().attach(engine)
    client.ask("/")
    client.suite.flush()


CAUSES: list[tuple[Callable[[Session], None], str]] = [
    (follow, "selectinload(Album.artist)"),
    (follow_back, "selectinload(Artist.albums)"),
    (deferred, "undefer(Artist.bio)"),
    (get, "one select(...).where(key.in_(keys)) in place of many session.get(...)"),
    (expired, "expire_on_commit=False, or one select of what was committed"),
    (literal, ""),
    (core, ""),
    (update, ""),
]


@pytest.mark.parametrize(("ask", "fix"), CAUSES, ids=lambda each: getattr(each, "__name__", ""))
def test_what_is_asked_again_and_again_has_a_line_and_a_cure(
    ask: Callable[[Session], None],
    fix: str,
    engine: Engine,
    wrap: Wrap,
    caplog: pytest.LogCaptureFixture,
) -> None:
    serve(wrap, engine, ask)
    (told,) = [each for each in caplog.records if each.name == "apsperf.database"]
    facts: dict[str, Any] = vars(told)["apsperf"]
    assert facts["count"] == 10
    assert facts["fix"] == fix
    assert re.match(rf"tests/db/test_sqlalchemy\.py:\d+ in {ask.__name__}\b", facts["site"])


def joined(session: Session) -> None:
    from sqlalchemy.orm import selectinload

    for artist in session.scalars(select(Artist).options(selectinload(Artist.albums))):
        assert artist.albums


def few(session: Session) -> None:
    for number in range(1, 4):
        assert session.get(Artist, number)


@pytest.mark.parametrize("ask", [joined, few])
def test_good_code_is_not_complained_of(
    ask: Callable[[Session], None], engine: Engine, wrap: Wrap, caplog: pytest.LogCaptureFixture
) -> None:
    serve(wrap, engine, ask)
    assert not [each for each in caplog.records if each.name == "apsperf.database"]


def test_a_slow_one_is_told_once_with_its_line(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    suite = Suite(logging={"slow_query_s": 0.02})
    suite.database().attach(engine)
    with engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        raw.create_function("nap", 1, sleep)
        for _ in range(3):
            connection.execute(text("SELECT nap(0.03), 's3cret'"))
        connection.execute(text("SELECT nap(0)"))
    (told,) = [each for each in caplog.records if each.name == "apsperf.database"]
    assert "s3cret" not in told.getMessage()
    facts: dict[str, Any] = vars(told)["apsperf"]
    site = r"tests/db/test_sqlalchemy\.py:\d+ in test_a_slow_one_is_told_once_with_its_line"
    assert re.fullmatch(site, facts["site"])
    slowest = suite.database().stats().rows[0]
    assert (slowest.calls, slowest.site) == (3, facts["site"])
    assert slowest.longest_ms >= 30
    assert slowest.p50_ms >= 29
