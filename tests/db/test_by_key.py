"""With `database.rows` a commit by keys leaves the other rows as they are; no read is stale."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, delete, insert, select, text, update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from apsperf_fastapi import install
from apsperf_mw import Database, Suite, cached
from apsperf_mw.cache.policy import Plan, current
from apsperf_mw.db.following import _followings
from apsperf_mw.db.rows import MOST_READ, Keyed, row_tag
from tests.db.models import Album, Artist
from tests.db.postgres import Postgres
from tests.db.stage import Plain, Stage, Tasks
from tests.drivers.servers import Server, until

ROWS: dict[str, Any] = {"rows": True}
KINDS = ("pysqlite", "aiosqlite", "psycopg", "psycopg_async", "asyncpg")
ONE = text("SELECT name FROM artist WHERE id = :id").execution_options(apsperf_cache="long")
ALL = text("SELECT id, name FROM artist ORDER BY id").execution_options(apsperf_cache="long")
SET = text("UPDATE artist SET name = :name WHERE id = :id")


def filled(engine: Any) -> None:
    Artist.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Artist(id=n, name=f"artist {n}") for n in range(1, 11)])
        session.flush()
        session.add_all([Album(id=n, title=f"album {n}", artist_id=n) for n in range(1, 11)])
        session.commit()


@pytest.fixture(params=KINDS)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    kind = request.param
    is_sqlite = "sqlite" in kind
    url = f"sqlite:///{tmp_path}/shop.db"
    if not is_sqlite:
        url = request.getfixturevalue("postgres").url()
    bare = create_engine(url)
    filled(bare)
    bare.dispose()
    suite = Suite(database=ROWS)
    made: Stage
    if kind in {"pysqlite", "psycopg"}:
        made = Plain(url, suite)
    else:
        name = "psycopg" if kind == "psycopg_async" else kind
        scheme = "sqlite" if is_sqlite else "postgresql"
        made = Tasks(f"{scheme}+{name}:{url.partition(':')[2]}", suite)
    yield made
    made.dispose()
    suite.close()


def send(stage: Stage, *statements: Any, then: str = "commit", **options: Any) -> list[Any]:
    """Statements, or pairs of one and its parameters, in one transaction; the rows of the last."""

    def work(connection: Any) -> list[Any]:
        rows: list[Any] = []
        for each in statements:
            given = each if isinstance(each, tuple) else (each,)
            result = connection.execute(*given)
            rows = [tuple(row) for row in result] if result.returns_rows else []
        getattr(connection, then)()
        return rows

    if isinstance(stage, Plain):
        with stage.engine.connect() as opened:
            return work(opened.execution_options(**options))
    return stage.runner.run(send_async(stage, work, options), context=copy_context())


async def send_async(stage: Tasks, work: Any, options: Any) -> list[Any]:
    async with stage.engine.connect() as opened:
        connection = await opened.execution_options(**options)
        found: list[Any] = await connection.run_sync(work)
        return found


def name(stage: Stage, number: int) -> str | None:
    rows = send(stage, (ONE, {"id": number}), then="rollback")
    return rows[0][0] if rows else None


def names(stage: Stage) -> list[str]:
    return [each for _, each in send(stage, ALL, then="rollback")]


def hits(stage: Stage) -> int:
    return stage.suite.database().stats().hits


class Kept:
    """Rows 1 and 2 and the whole table, which are kept; then it tells which still are."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        for _ in range(2):
            self.true = name(stage, 1), name(stage, 2), tuple(names(stage))
        assert hits(stage) == 3

    def are(self) -> list[bool]:
        found = []
        for ask in (
            lambda: name(self.stage, 1),
            lambda: name(self.stage, 2),
            lambda: names(self.stage),
        ):
            before = hits(self.stage)
            ask()
            found.append(hits(self.stage) > before)
        return found


BY_KEY: list[Any] = [
    (SET, {"name": "new", "id": 1}),
    update(Artist).where(Artist.id == 1).values(name="new"),
    update(Artist).where(Artist.id.in_([1, 3])).values(name=Artist.name + "!"),
    (SET, [{"name": "new", "id": 1}, {"name": "new", "id": 3}]),
    (text("DELETE FROM album WHERE id = :id"), {"id": 1}),
]


@pytest.mark.parametrize("write", BY_KEY[:4], ids=range(4))
def test_a_write_by_key_leaves_the_other_rows(stage: Stage, write: Any) -> None:
    kept = Kept(stage)
    send(stage, write)
    assert kept.are() == [False, True, False]
    assert name(stage, 1) in {"new", "artist 1!"}
    assert names(stage)[0] == name(stage, 1)


def test_another_table_s_concerns_none(stage: Stage) -> None:
    kept = Kept(stage)
    send(stage, BY_KEY[4])
    assert kept.are() == [True, True, True]


def test_a_new_row_concerns_those_who_have_seen_none(stage: Stage) -> None:
    kept = Kept(stage)
    assert name(stage, 11) is None
    send(stage, insert(Artist).values(id=11, name="new", bio=""))
    assert kept.are() == [True, True, False]
    assert name(stage, 11) == "new"
    send(stage, delete(Artist).where(Artist.id == 11))
    assert name(stage, 11) is None
    assert name(stage, 11) is None
    send(stage, insert(Artist).values(name="next", bio="", id=11))
    assert name(stage, 11) == "next"


WHOLE: list[Any] = [
    text("UPDATE artist SET name = 'all'"),
    text("UPDATE artist SET name = 'one' WHERE id = 1"),
    (text("UPDATE artist SET name = 'x' WHERE name = :name"), {"name": "artist 1"}),
    (text("UPDATE artist SET id = :new WHERE id = :id"), {"new": 99, "id": 10}),
    (
        text("INSERT INTO artist VALUES (:id, 'x', '') ON CONFLICT (id) DO UPDATE SET name = 'up'"),
        {"id": 1},
    ),
]


@pytest.mark.parametrize("write", WHOLE, ids=range(len(WHOLE)))
def test_any_other_write_concerns_all_rows(stage: Stage, write: Any) -> None:
    kept = Kept(stage)
    if write is WHOLE[3]:
        send(stage, delete(Album).where(Album.id == 10))
    send(stage, write)
    assert kept.are() == [False, False, False]
    assert [name(stage, 1), name(stage, 2)] == names(stage)[:2]


def test_what_is_committed_at_once_is_heard(stage: Stage) -> None:
    kept = Kept(stage)
    send(stage, (SET, {"name": "new", "id": 1}), then="rollback", isolation_level="AUTOCOMMIT")
    assert kept.are() == [False, True, False]
    assert name(stage, 1) == "new"


def test_a_transaction_sees_its_own_rows(stage: Stage) -> None:
    Kept(stage)
    own = send(stage, (SET, {"name": "own", "id": 1}), (ONE, {"id": 1}), then="rollback")
    assert own == [("own",)]
    assert name(stage, 1) == "artist 1"
    own = send(stage, (SET, {"name": "own", "id": 1}), (ONE, {"id": 1}))
    assert own == [("own",)]
    assert name(stage, 1) == "own"


def test_an_engine_that_writes_very_many_rows_says_all(stage: Stage) -> None:
    kept = Kept(stage)
    sets = [{"name": "new", "id": number} for number in range(3, 200)]
    send(stage, (SET, sets))
    assert kept.are() == [False, False, False]


def read_for_a_page(stage: Stage, *statements: Any) -> set[str]:
    plan = Plan()
    token = current.set(plan)
    try:
        send(stage, *statements, then="rollback")
    finally:
        current.reset(token)
    return plan.tables or set()


BARE = text("SELECT name FROM artist WHERE id = :id")


def test_a_page_carries_its_rows(stage: Stage) -> None:
    one = {"table:*", "table:artist", row_tag("artist", 1)}
    for statement in (BARE, ONE, ONE):  # not kept, a miss, a hit
        assert read_for_a_page(stage, (statement, {"id": 1})) == one
    asked = select(Artist.name).where(Artist.id.in_([1, 2]))
    assert read_for_a_page(stage, asked) == one | {row_tag("artist", 2)}
    for statement in (BARE, ONE, ONE):
        found = read_for_a_page(stage, (statement, {"id": 99}))
        assert found == {"table:*", "table:artist", "rows:artist"}
    both = read_for_a_page(stage, (BARE, {"id": 1}), ALL)
    assert both == one | {"rows:artist"}


def test_a_page_of_very_many_rows_carries_their_table(stage: Stage) -> None:
    found = read_for_a_page(stage, *[(BARE, {"id": 1 + n % 10}) for n in range(MOST_READ * 2)])
    assert len(found) == 12
    sets = [{"id": number, "name": "more", "bio": ""} for number in range(11, 80)]
    send(stage, (insert(Artist), sets))
    found = read_for_a_page(stage, *[(BARE, {"id": n}) for n in range(1, 80)])
    assert "rows:artist" in found
    assert len(found) <= MOST_READ + 1


def staged(engine: Engine, suite: Suite) -> Plain:
    """A stage of an engine that is attached already."""
    made = Plain.__new__(Plain)
    made.engine, made.suite = engine, suite
    return made


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Any]:
    suite = Suite(database=ROWS)
    engine = suite.database().create_engine(f"sqlite:///{tmp_path}/shop.db")
    filled(engine)
    yield engine, suite
    engine.dispose()
    suite.close()


def test_the_orm_reads_and_writes_by_key(shop: Any) -> None:
    from fastapi import FastAPI

    engine, suite = shop
    app = FastAPI()

    @app.get("/artists/{number}")
    @cached("long", depends="auto")
    def artist(number: int) -> str | None:
        with Session(engine) as session:
            found = session.get(Artist, number)
            return None if found is None else found.name

    @app.get("/albums/{number}")
    @cached("long", depends="auto")
    def album(number: int) -> list[str]:
        with Session(engine) as session:
            found = session.get_one(Album, number)
            return [found.title, found.artist.name]

    install(app, suite)
    client = TestClient(app)

    def ask(path: str) -> tuple[bool, Any]:
        response = client.get(path)
        return "hit" in response.headers["cache-status"], response.json()

    paths = ["/artists/1", "/artists/2", "/artists/11", "/albums/1", "/albums/2"]
    for path in paths * 2:
        ask(path)
    with Session(engine) as session:
        session.get_one(Artist, 1).name = "new"
        session.commit()
    found = {path: ask(path) for path in paths}
    assert [hit for hit, _ in found.values()] == [False, True, False, False, True]
    assert found["/artists/1"][1] == "new"
    assert found["/albums/1"][1] == ["album 1", "new"]
    with Session(engine) as session:
        session.add(Artist(name="eleven"))
        session.commit()
    found = {path: ask(path) for path in paths}
    assert [hit for hit, _ in found.values()] == [True, True, False, True, True]
    assert found["/artists/11"][1] == "eleven"
    with Session(engine) as session:
        session.delete(session.get_one(Artist, 11))
        session.commit()
    assert ask("/artists/11") == (False, None)
    assert ask("/artists/2")[0]


def test_a_row_that_is_overtaken_is_not_kept(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between what has been read and its storing another commits."""
    engine, suite = shop
    stage = staged(engine, suite)
    keep = suite.tables.results.keep

    def overtaken(*given: Any) -> None:
        monkeypatch.undo()
        send(stage, (SET, {"name": "late", "id": 1}))
        keep(*given)

    monkeypatch.setattr(suite.tables.results, "keep", overtaken)
    assert name(stage, 1) == "artist 1"
    assert name(stage, 1) == "late"


def test_a_row_that_is_being_committed_is_read(stage: Stage) -> None:
    """Its commit may have come to the database already, and its purge not yet to us."""
    Kept(stage)
    (following,) = _followings[stage.engine.dialect]
    transactions = following.transactions
    for number, given in ((1, [False, True, False]), (2, [True, False, False])):
        with transactions.busy.committing({"table:?", "rows:artist", row_tag("artist", number)}):
            before = hits(stage)
            found = []
            for ask in (lambda: name(stage, 1), lambda: name(stage, 2), lambda: names(stage)):
                ask()
                found.append(hits(stage) > before)
                before = hits(stage)
        assert found == given


def test_a_write_that_forgot_its_row_would_be_seen(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: without the rows' tags the tests above find what is stale."""
    Kept(stage)
    tags = Keyed.tags

    def forgets(keyed: Keyed, given: Any) -> set[str] | None:
        return tags(keyed, given) if keyed.reads else set()

    monkeypatch.setattr(Keyed, "tags", forgets)
    send(stage, (SET, {"name": "new", "id": 1}))
    assert (name(stage, 1), names(stage)[0]) == ("artist 1", "new")


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Server(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.mark.parametrize("url", ["{redis}", "tiered+{redis}", "file://{directory}"])
def test_another_process_s_rows_are_heard_of_through_the_store(
    url: str, tmp_path: Path, redis_url: str
) -> None:
    driver = url.format(redis=redis_url, directory=tmp_path / "store")
    database = f"sqlite:///{tmp_path}/x.db"
    stages = [Plain(database, Suite(default=driver, database=ROWS)) for _ in range(2)]
    reader, writer = stages
    filled(writer.engine)
    for number in range(5):
        for _ in range(2):
            name(reader, 1)
            name(reader, 2)
        new = f"new {number}"
        send(writer, (SET, {"name": new, "id": 1}))
        until(lambda new=new: name(reader, 1) == new, "the commit is heard", 2.0)
        before = hits(reader)
        assert name(reader, 2) == "artist 2"
        assert hits(reader) == before + 1
    send(writer, text("UPDATE artist SET name = 'all'"))
    until(lambda: name(reader, 2) == "all", "the commit is heard", 2.0)
    writer.suite.database().detach(writer.engine)
    for new, said in (("one", "rows:artist"), ("two", "table:artist")):
        name(reader, 2)
        names(reader)
        send(writer, text(f"UPDATE artist SET name = '{new}'"))
        writer.suite.purge(said, "table:?")
        until(lambda new=new: names(reader)[1] == new, "the purge is heard", 2.0)
        assert (name(reader, 2) == names(reader)[1]) is (said == "table:artist")
    for each in stages:
        each.dispose()
        each.suite.close()


def test_postgresql_tells_of_rows(postgres: Postgres, tmp_path: Path) -> None:
    """NOTIFY alone, as of a process that dies before it could tell anything else."""
    import psycopg

    engine = create_engine(postgres.url())
    filled(engine)
    engine.dispose()
    reader, writer = (Database(rows=True, notify=True) for _ in range(2))
    stages = [staged(each.create_engine(postgres.url()), each.suite) for each in (reader, writer)]
    from apsperf_mw.db import notifying

    said = notifying.payload
    with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
        connection.execute(f"LISTEN {notifying.CHANNEL}")
        name(stages[0], 1)
        until(lambda: listens(connection), "it listens", 5.0)
        until(lambda: kept(stages[0]), "the rows are kept", 5.0)
        # As if by another process: its own are not heard again.
        tables: Any = writer.suite.tables
        tables._purge = lambda *tags: None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                notifying, "payload", lambda tags: said(tags).replace(notifying.own(), "another")
            )
            send(stages[1], (SET, {"name": "told", "id": 1}))
            heard = [note.payload for note in connection.notifies(timeout=5.0, stop_after=1)]
    assert heard == [f"another {row_tag('artist', 1)} rows:artist table:?"]
    until(lambda: name(stages[0], 1) == "told", "the commit is heard", 5.0)
    before = hits(stages[0])
    assert name(stages[0], 2) == "artist 2"
    assert hits(stages[0]) == before + 1
    for stage in stages:
        stage.dispose()
    reader.close()
    writer.close()


def listens(connection: Any) -> int:
    asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
    return int(connection.execute(asked).fetchone()[0])


def kept(stage: Stage) -> bool:
    name(stage, 1)
    name(stage, 2)
    before = hits(stage)
    name(stage, 1)
    name(stage, 2)
    return hits(stage) == before + 2


def test_other_workers_of_a_host_hear_of_rows(tmp_path: Path) -> None:
    """Two suites with one file of purges, as two workers have them."""
    from apsperf_mw.cache import channel

    code = {"purge_file": str(tmp_path / "purges")}
    url = f"sqlite:///{tmp_path}/x.db"
    stages = [Plain(url, Suite(cache=code, database=ROWS)) for _ in range(2)]
    reader, writer = stages
    filled(writer.engine)
    time.sleep(0.02)
    assert kept(reader)
    own = channel._process
    channel._process = (own[0], "another")
    try:
        send(writer, (SET, {"name": "told", "id": 1}))
    finally:
        channel._process = own
    time.sleep(0.02)
    before = hits(reader)
    assert (name(reader, 2), hits(reader)) == ("artist 2", before + 1)
    assert (name(reader, 1), hits(reader)) == ("told", before + 1)
    for each in stages:
        each.dispose()
        each.suite.close()


def test_a_savepoint_that_is_taken_back_says_too_much_and_never_too_little(shop: Any) -> None:
    engine, suite = shop
    stage = staged(engine, suite)
    kept = Kept(stage)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        with connection.begin_nested() as nested:
            connection.execute(SET, {"name": "never", "id": 1})
            nested.rollback()
        connection.execute(SET, {"name": "new", "id": 3})
        connection.commit()
    assert kept.are() == [False, True, False]
    assert [name(stage, number) for number in (1, 2, 3)] == ["artist 1", "artist 2", "new"]


def test_a_trigger_that_is_made_later_is_heeded(shop: Any) -> None:
    engine, suite = shop
    stage = staged(engine, suite)
    kept = Kept(stage)
    send(stage, (SET, {"name": "new", "id": 3}))
    assert kept.are()[:2] == [True, True]
    trigger = "UPDATE artist SET name = 'by' WHERE id = old.id - 1"
    send(stage, text(f"CREATE TRIGGER t AFTER UPDATE ON artist BEGIN {trigger}; END"))
    assert [name(stage, 1), name(stage, 2)] == ["artist 1", "artist 2"]
    writer = threading.Thread(target=send, args=(stage, (SET, {"name": "newer", "id": 3})))
    writer.start()
    writer.join()
    assert name(stage, 2) == "by"
