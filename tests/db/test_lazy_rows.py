"""Queries that are sent when their rows are looked at; and connections, once there is something."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, render_template_string
from sqlalchemy import Engine, create_engine, event, insert, select, text
from sqlalchemy.exc import InvalidRequestError, OperationalError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, joinedload

from apsperf_flask import APSPerf
from apsperf_mw import Database
from apsperf_mw.errors import LazyLoad, SettingError
from tests.db.models import Album, Artist, Base, shop
from tests.db.postgres import Postgres

TITLES = [f"album {number}" for number in range(1, 11)]
ORDERED = select(Album).order_by(Album.id)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "sqlite":
        made = shop()
    else:
        server: Postgres = request.getfixturevalue("postgres")
        made = create_engine(server.url())
        Base.metadata.create_all(made)
        with Session(made) as session:
            for number in range(1, 11):
                artist = Artist(id=number, name=f"artist {number}")
                session.add(Album(id=number, title=f"album {number}", artist=artist))
            session.commit()
    yield made
    made.dispose()


@pytest.fixture
def sent(engine: Engine) -> list[str]:
    """What is sent from now on."""
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    return seen


USES: dict[str, Callable[[Any], Any]] = {
    "iteration": lambda rows: [row.Album.title for row in rows],
    "all": lambda rows: [row.Album.title for row in rows.all()],
    "scalars": lambda rows: [album.title for album in rows.scalars()],
    "scalars all": lambda rows: [album.title for album in rows.scalars().all()],
    "mappings": lambda rows: [each["Album"].title for each in rows.mappings()],
    "a slice": lambda rows: [row[0].title for row in rows[:]],
    "backwards": lambda rows: [row[0].title for row in reversed(rows)][::-1],
    "unique": lambda rows: [row[0].title for row in rows.unique()],
    "partitions": lambda rows: [row[0].title for part in rows.partitions(3) for row in part],
}
LOOKS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "len": (len, 10),
    "bool": (bool, True),
    "index": (lambda rows: rows[-1][0].title, "album 10"),
    "first": (lambda rows: rows.first()[0].title, "album 1"),
    "scalar": (lambda rows: rows.scalar().title, "album 1"),
    "keys": (lambda rows: list(rows.keys()), ["Album"]),
    "in": (lambda rows: "x" in rows, False),
}


@pytest.mark.parametrize("use", USES)
def test_it_is_sent_once_at_the_first_use(use: str, engine: Engine, sent: list[str]) -> None:
    with Session(engine) as session:
        rows = Database().lazy(session, ORDERED)
        assert (sent, rows.sent) == ([], False)
        assert "not sent" in repr(rows)
        assert USES[use](rows) == TITLES
        assert rows.sent
        for again in USES.values():
            assert again(rows) == TITLES
        assert len(sent) == 1


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_of_another_kind(look: str, engine: Engine, sent: list[str]) -> None:
    ask, found = LOOKS[look]
    with Session(engine) as session:
        rows = Database().lazy(session, ORDERED)
        assert [ask(rows), ask(rows)] == [found, found]
        assert len(sent) == 1


def test_who_asks_what_it_is_has_nothing_sent(engine: Engine, sent: list[str]) -> None:
    with Session(engine) as session:
        rows = Database().lazy(session, ORDERED)
        assert not hasattr(rows, "__html__")
        assert not hasattr(rows, "_sa_instance_state")
        with pytest.raises(TypeError, match="by number, not by 'all'"):
            rows["all"]
        assert callable(rows.all)
        assert not copy.copy(rows).sent
    assert sent == []


def test_the_first_column_alone_and_each_once(engine: Engine) -> None:
    db = Database()
    with Session(engine) as session:
        assert [album.title for album in db.lazy(session, ORDERED, scalars=True)] == TITLES
        joined = select(Artist).options(joinedload(Artist.albums)).order_by(Artist.id)
        artists = db.lazy(session, joined, scalars=True, unique=True)
        assert [len(each.albums) for each in artists] == [1] * 10
        with pytest.raises(InvalidRequestError, match="unique"):
            list(db.lazy(session, joined))
        assert len(db.lazy(session, joined).unique().all()) == 10
        one = db.lazy(session, text("SELECT title FROM album WHERE id = :id"), {"id": 3})
        assert one.scalar_one() == "album 3"


def test_a_list_is_the_callers_own(engine: Engine) -> None:
    with Session(engine) as session:
        rows = Database().lazy(session, ORDERED)
        rows.all().clear()
        assert len(rows) == 10


def test_a_connection(engine: Engine, sent: list[str]) -> None:
    with engine.connect() as connection:
        rows = Database().lazy(connection, select(Album.title).order_by(Album.id))
        assert sent == []
        assert [title for (title,) in rows] == TITLES


def test_an_error_has_the_line_and_is_not_tried_again(engine: Engine, sent: list[str]) -> None:
    with Session(engine) as session:
        rows = Database().lazy(session, text("SELECT nothing FROM nowhere"))
        for _ in range(2):
            with pytest.raises((OperationalError, ProgrammingError)) as failed:
                len(rows)
            (note,) = failed.value.__notes__
            assert "made lazily at" in note
            assert "test_lazy_rows.py" in note
            assert "test_an_error_has_the_line" in note
        assert len(sent) == 1


def test_threads_have_it_sent_once(engine: Engine, sent: list[str]) -> None:
    with engine.connect() as connection:
        rows = Database().lazy(connection, select(Album.title))
        start = threading.Barrier(8)
        counts: list[int] = []

        def look() -> None:
            start.wait(10)
            counts.append(len(rows))

        threads = [threading.Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert counts == [10] * 8
        assert len(sent) == 1


@pytest.mark.parametrize(
    ("target", "statement", "said"),
    [
        (None, ORDERED, "a session or connection"),
        (Session, ORDERED, "a session or connection"),
        (Session(), "SELECT 1", "a query"),
        (Session(), insert(Album), "a query"),
    ],
)
def test_what_is_no_query_is_refused(target: Any, statement: Any, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        Database().lazy(target, statement)


@pytest.mark.parametrize("driver", ["aiosqlite", "asyncpg", "psycopg"])
def test_an_async_session(driver: str, request: pytest.FixtureRequest) -> None:
    if driver == "aiosqlite":
        url = "sqlite+aiosqlite://"
    else:
        url = request.getfixturevalue("postgres").url(driver)
    db = Database()

    async def ask() -> None:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine) as session:
            session.add(Album(id=1, title="a", artist=Artist(id=1, name="b")))
            await session.commit()
        seen: list[str] = []
        listen: Any = event.listen
        listen(engine.sync_engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
        async with AsyncSession(engine) as session:
            rows = db.lazy(session, ORDERED, scalars=True)
            with pytest.raises(LazyLoad, match=r"test_lazy_rows\.py:\d+ in .*await it"):
                len(rows)
            assert seen == []
            given = await asyncio.gather(*[await_it(rows) for _ in range(5)])
            assert [[album.title for album in each] for each in given] == [["a"]] * 5
            assert (await rows)[0].title == rows.first().title == "a"
            assert len(seen) == 1
            wrong = db.lazy(session, text("SELECT nothing FROM nowhere"))
            for _ in range(2):
                with pytest.raises(Exception, match="nowhere") as failed:
                    await wrong
                assert any("made lazily at" in note for note in failed.value.__notes__)
            assert len(seen) == 2
        async with AsyncSession(engine) as session:
            within = await session.run_sync(lambda own: db.lazy(own, ORDERED).all())
            assert len(within) == 1
        async with engine.connect() as connection:
            assert (await db.lazy(connection, select(Album.title))).all() == [("a",)]
        await engine.dispose()

    async def await_it(rows: Any) -> list[Any]:
        return list(await rows)

    asyncio.run(ask())


def test_a_task_that_is_cancelled_leaves_it_to_the_next() -> None:
    class Slow:
        calls = 0
        gate = asyncio.Event()

        async def execute(self, *given: Any) -> Any:
            self.calls += 1
            await self.gate.wait()
            engine = create_engine("sqlite://")
            with engine.connect() as connection:
                found = connection.execute(*given).freeze()()
            engine.dispose()
            return found

    async def ask() -> None:
        target = Slow()
        rows = Database().lazy(target, text("SELECT 1"))
        first = asyncio.ensure_future(rows._awaited())
        second = asyncio.ensure_future(rows._awaited())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        target.gate.set()
        assert (await asyncio.wait_for(second, 5)).all() == [(1,)]
        assert target.calls == 2

    asyncio.run(ask())


def test_plain_ones_may_be_awaited_too(engine: Engine) -> None:
    async def ask(session: Session) -> int:
        return len(await Database().lazy(session, ORDERED))

    with Session(engine) as session:
        assert asyncio.run(ask(session)) == 10


def test_a_fragment_from_the_cache_sends_nothing(engine: Engine, sent: list[str]) -> None:
    app = Flask(__name__)
    perf = APSPerf(app)
    page = (
        "{% cache 60, 'albums' %}{% for album in albums %}{{ album.title }};{% endfor %}"
        "{% endcache %}"
    )

    @app.get("/")
    def albums() -> str:
        with Session(engine) as session:
            rows = perf.suite.database().lazy(session, ORDERED, scalars=True)
            return render_template_string(page, albums=rows)

    client = app.test_client()
    first, second = client.get("/").text, client.get("/").text
    assert first == second == "".join(f"{title};" for title in TITLES)
    assert len(sent) == 1
    perf.suite.close()


def test_connections_are_opened_at_the_first_statement(postgres: Postgres) -> None:
    """As the README says of SQLAlchemy; Django's part stands with its statements."""
    db = Database()
    engine = db.create_engine(postgres.url())
    opened: list[object] = []
    event.listen(engine, "connect", lambda *given: opened.append(given))
    pool: Any = engine.pool
    with Session(engine) as session, session.begin():
        db.lazy(session, text("SELECT 1"))
        assert (opened, pool.checkedout()) == ([], 0)
        session.execute(text("SELECT 1")).close()
        assert (len(opened), pool.checkedout()) == (1, 1)
    assert pool.checkedout() == 0
    with engine.connect():
        assert pool.checkedout() == 1
    engine.dispose()
