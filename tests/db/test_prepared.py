"""Prepared statements: as the settings say, counted, and none where a pooler would lose them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from apsperf_mw import Database
from apsperf_mw.db.psycopg import ask, ask_async
from tests.db.pgbouncer import Bouncer, binary
from tests.db.postgres import Postgres

ONE = text("SELECT CAST(:a AS int) + 1")
TWO = text("SELECT CAST(:a AS int) + 2")
KEPT = text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT CAST%'")
ASKED = "WHERE pg_backend_pid() = "
WORKERS, ROUNDS = 6, 30


@pytest.fixture(params=["transaction", "session"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bouncer(postgres: Postgres) -> Iterator[Bouncer]:
    with pooler(postgres) as made:
        yield made


@contextmanager
def pooler(postgres: Postgres, mode: str = "transaction", size: int = 3) -> Iterator[Bouncer]:
    if binary() is None:
        pytest.skip("there is no pgbouncer here")
    with Bouncer(postgres, mode, size) as made:
        yield made


def storm(engine: Engine) -> list[Exception]:
    """What fails where several threads commit one transaction after another."""
    failed: list[Exception] = []

    def run() -> None:
        for number in range(ROUNDS):
            try:
                with engine.begin() as connection:
                    connection.execute(ONE, {"a": number}).all()
                with engine.begin() as connection:
                    connection.execute(TWO, {"a": number}).all()
            except DBAPIError as fault:
                failed.append(fault)

    threads = [Thread(target=run) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.dispose()
    return failed


async def async_storm(engine: AsyncEngine) -> list[Exception]:
    failed: list[Exception] = []

    async def run() -> None:
        for number in range(ROUNDS):
            try:
                async with engine.begin() as connection:
                    (await connection.execute(ONE, {"a": number})).all()
                async with engine.begin() as connection:
                    (await connection.execute(TWO, {"a": number})).all()
            except DBAPIError as fault:
                failed.append(fault)

    await asyncio.gather(*(run() for _ in range(WORKERS)))
    await engine.dispose()
    return failed


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if "pooler" in each.getMessage()]


def run_storm(database: Database, url: str, **options: Any) -> list[Exception]:
    if "asyncpg" not in url:
        return storm(database.create_engine(url, **options))

    async def run() -> list[Exception]:
        return await async_storm(database.create_async_engine(url, **options))

    return asyncio.run(run())


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_nothing_is_prepared_behind_a_pooler(
    bouncer: Bouncer, driver: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Database() as database:
        assert run_storm(database, bouncer.url(driver)) == []
        stats = database.stats()
    assert stats.calls >= WORKERS * ROUNDS * 2
    assert (stats.prepared, stats.prepared_calls) == (0, 0)
    place = f"127.0.0.1:{bouncer.port}/postgres"
    assert told(caplog) == [
        f"a pooler stands before {place}: statements are not prepared (database.prepare)"
    ]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_who_wants_it_always_has_what_a_pooler_makes_of_it(bouncer: Bouncer, driver: str) -> None:
    with Database(prepare="always") as database:
        failed = run_storm(database, bouncer.url(driver))
    assert any("prepared statement" in str(each) for each in failed)


def test_an_async_engine_of_psycopg_is_behind_one_too(bouncer: Bouncer) -> None:
    async def run(database: Database) -> list[Exception]:
        engine = create_async_engine(bouncer.url(), pool_size=WORKERS)
        return await async_storm(database.attach(engine))

    with Database() as database:
        assert asyncio.run(run(database)) == []
        assert database.stats().prepared == 0


def test_asyncpg_needs_no_transaction_behind_one(bouncer: Bouncer) -> None:
    with Database() as database:
        assert run_storm(database, bouncer.url("asyncpg"), isolation_level="AUTOCOMMIT") == []


def test_it_is_not_told_for_whom_a_pooler_keeps_a_server(postgres: Postgres, mode: str) -> None:
    with pooler(postgres, mode, size=WORKERS + 2) as bouncer, Database() as database:
        assert run_storm(database, bouncer.url()) == []
        assert database.stats().prepared == 0


def test_an_engine_asks_once(postgres: Postgres) -> None:
    with logged(postgres) as log, Database() as database:
        engine = database.create_engine(postgres.url())
        held = [engine.connect() for _ in range(4)]
        for each in held:
            each.close()
        engine.dispose()
        assert storm(engine) == []
        assert database.stats().prepared_calls > 0
    assert log().count(ASKED) == 1


def test_an_async_engine_asks_once(postgres: Postgres) -> None:
    async def run(database: Database) -> None:
        engine = database.create_async_engine(postgres.url("asyncpg"))
        for _ in range(4):
            async with engine.connect() as connection, engine.connect():
                await connection.execute(ONE, {"a": 1})
            await engine.dispose()

    with logged(postgres) as log, Database() as database:
        asyncio.run(run(database))
    assert log().count(ASKED) == 1


@contextmanager
def logged(postgres: Postgres) -> Iterator[Callable[[], str]]:
    """What the server is sent meanwhile."""
    path = Path(postgres.directory) / "log"

    def switch(setting: str) -> None:
        with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
            connection.execute(f"ALTER ROLE apsperf {setting}".encode())

    switch("SET log_statement = 'all'")
    since = path.stat().st_size
    try:
        yield lambda: path.read_bytes()[since:].decode(errors="replace")
    finally:
        switch("RESET log_statement")


def kept(engine: Engine, times: int, *, commits: bool = True) -> int:
    """How many the server has after so many transactions."""
    for number in range(times):
        with engine.connect() as connection:
            connection.execute(ONE, {"a": number}).all()
            if commits:
                connection.commit()
    with engine.connect() as connection:
        return int(connection.execute(KEPT).scalar_one())


@contextmanager
def one_connection(database: Database, url: str, **options: Any) -> Iterator[Engine]:
    engine = database.create_engine(url, pool_size=1, **options)
    yield engine
    engine.dispose()


def test_a_statement_is_prepared_once_it_has_come_so_often(postgres: Postgres) -> None:
    with (
        Database(prepare_after=3) as database,
        one_connection(database, postgres.url()) as engine,
    ):
        assert kept(engine, 3) == 0
        assert kept(engine, 1) == 1
        assert kept(engine, 4) == 1
        stats = database.stats()
        assert (stats.prepared, stats.prepared_calls) == (1, 4)
        assert "; 1 prepared, 4 calls of them" in str(stats)


def test_a_connection_keeps_so_many(postgres: Postgres) -> None:
    with (
        Database(prepare_after=0, prepared_statements=3) as database,
        one_connection(database, postgres.url()) as engine,
    ):
        for number in range(8):
            with engine.begin() as connection:
                connection.execute(text(f"SELECT {number}"))
        with engine.begin() as connection:
            # The one that is too many is let go with the next.
            assert len(connection.execute(text("TABLE pg_prepared_statements")).all()) <= 4
        assert database.stats().prepared >= 9


def test_asyncpg_keeps_so_many(postgres: Postgres) -> None:
    async def run() -> tuple[int, int, int]:
        with Database(prepared_statements=4) as database:
            engine = database.create_async_engine(postgres.url("asyncpg"), pool_size=1)
            async with engine.connect() as connection:
                before = database.stats()
                for number in range(40):
                    await connection.execute(text(f"SELECT {number % 20}"))
                real = (await connection.get_raw_connection()).dbapi_connection
                held: Any = real
                size = len(held._prepared_statement_cache)
                for _ in range(3):
                    await connection.execute(ONE, {"a": 1})
            await engine.dispose()
            after = database.stats()
            used = after.prepared_calls - before.prepared_calls
            return size, after.prepared - before.prepared, used

    size, made, used = asyncio.run(run())
    assert size <= 6  # half as many more wait to be let go
    assert (made, used) == (41, 2)


def test_a_rollback_after_reading_costs_nothing(postgres: Postgres) -> None:
    with Database() as database, one_connection(database, postgres.url()) as engine:
        assert kept(engine, 10, commits=False) == 1
        assert database.stats().prepared_calls == 4
        with engine.connect() as connection, connection.begin_nested():
            connection.execute(text("SET LOCAL work_mem = '5MB'"))
        assert kept(engine, 0) == 1


def test_a_rollback_after_what_alters_tables_or_fails_does(postgres: Postgres) -> None:
    with (
        Database(prepare_after=1) as database,
        one_connection(database, postgres.url()) as engine,
    ):
        assert kept(engine, 3, commits=False) == 1
        with engine.connect() as connection:
            connection.execute(text("CREATE TABLE never (id int)"))
        assert kept(engine, 0) == 0
        assert kept(engine, 3, commits=False) == 1
        with engine.connect() as connection, pytest.raises(DBAPIError):
            connection.execute(text("SELECT 1 / 0"))
        assert kept(engine, 0) == 0


def test_a_table_that_is_altered_costs_one_error_at_most(postgres: Postgres) -> None:
    query = text("SELECT * FROM changing")
    with (
        Database(prepare_after=1) as database,
        one_connection(database, postgres.url()) as engine,
        psycopg.connect(postgres.conninfo, autocommit=True) as other,
    ):
        other.execute("CREATE TABLE changing (id int)")
        for _ in range(4):
            with engine.connect() as connection:
                connection.execute(query)
        other.execute("ALTER TABLE changing ADD COLUMN name text")
        with engine.connect() as connection, pytest.raises(DBAPIError, match="cached plan"):
            connection.execute(query)
        for _ in range(4):
            with engine.connect() as connection:
                assert list(connection.execute(query).keys()) == ["id", "name"]


@pytest.mark.parametrize("given", [None, 0, 2])
def test_what_the_app_says_of_psycopg_wins(postgres: Postgres, given: int | None) -> None:
    options: Any = {"connect_args": {"prepare_threshold": given}}
    with Database() as database, one_connection(database, postgres.url(), **options) as engine:
        assert kept(engine, 1) == (given == 0)
        assert kept(engine, 2) == (given is not None)


def test_what_the_app_says_of_asyncpg_wins(postgres: Postgres) -> None:
    with Database() as database:
        url = postgres.url("asyncpg") + "?prepared_statement_cache_size=0"
        assert run_storm(database, url) == []
        assert database.stats().prepared == 0


# Older releases of SQLAlchemy leave a cancelled connection to the collector of garbage. A
# warning of psycopg's that were raised meanwhile would be kept by pytest, and with it, in the
# frames of its traceback, the connection.
LEFT = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@LEFT
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_storm_of_cancellations_leaks_none_at_the_server(postgres: Postgres, driver: str) -> None:
    assert asyncio.run(cancelled(postgres.url(driver))) == (0, 0)
    deadline = monotonic() + 5
    while (left := connected(postgres)) and monotonic() < deadline:
        gc.collect()  # a cancelled attempt of psycopg's to connect waits for it
        sleep(0.05)
    gc.collect()
    assert left == 0


@LEFT
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_nor_does_one_behind_a_pooler(bouncer: Bouncer, driver: str) -> None:
    assert asyncio.run(cancelled(bouncer.url(driver))) == (0, 0)
    gc.collect()


async def cancelled(url: str) -> tuple[int, int]:
    with Database(max_connections=4) as database:
        engine = database.create_async_engine(url)
        (seen,) = database.suite.children.statements.pools

        async def ask() -> None:
            async with engine.connect() as connection:
                await connection.execute(ONE, {"a": 1})
                await asyncio.sleep(0.005)

        tasks = [asyncio.create_task(ask()) for _ in range(90)]
        for number, task in enumerate(tasks):
            await asyncio.sleep(0.0007)
            if number % 3:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in [asyncio.create_task(ask()) for _ in range(4)]:
            await task  # none of the four is lost
        pool: Any = engine.pool
        left = pool.checkedout(), len(seen.holders) + len(seen.waiting)
        await engine.dispose()
        return left


def connected(postgres: Postgres) -> int:
    """How many have come to the server by themselves and are there still."""
    query = """SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
        AND pid <> pg_backend_pid()"""
    with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return int(row[0])


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_never_is_never(postgres: Postgres, driver: str) -> None:
    with Database(prepare="never") as database:
        assert run_storm(database, postgres.url(driver)) == []
        assert database.stats().prepared == 0


def test_a_pooler_that_comes_later_is_noticed(postgres: Postgres, bouncer: Bouncer) -> None:
    places = iter([postgres.conninfo])
    with Database(prepare_after=0) as database:
        engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: psycopg.connect(next(places, bouncer.conninfo), prepare_threshold=0),
            pool_size=11,
        )
        database.attach(engine)
        open_ = [engine.connect() for _ in range(11)]
        thresholds = [each.connection.driver_connection.prepare_threshold for each in open_]  # type: ignore[union-attr]
        assert thresholds[0] == 0
        # Of a thousand numbers that a pooler makes up, one might be a process's.
        assert thresholds[-1] is None
        for each in open_:
            each.close()
        engine.dispose()


def test_where_it_cannot_be_asked_nothing_is_prepared(postgres: Postgres) -> None:
    dead = psycopg.connect(postgres.conninfo)
    dead.close()
    assert ask(dead, 1) is None

    async def run() -> int | None:
        connection = await psycopg.AsyncConnection.connect(postgres.conninfo)
        await connection.close()
        return await ask_async(connection, 1)

    assert asyncio.run(run()) is None


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_who_may_not_ask_is_served_and_prepares_nothing(postgres: Postgres, driver: str) -> None:
    with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
        connection.execute("CREATE ROLE plain LOGIN")
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_backend_pid() FROM PUBLIC")
        try:
            with Database() as database:
                url = postgres.url(driver).replace("apsperf@", "plain@")
                assert run_storm(database, url) == []
                assert database.stats().prepared == 0
        finally:
            connection.execute("GRANT EXECUTE ON FUNCTION pg_backend_pid() TO PUBLIC")
            connection.execute("DROP ROLE plain")


def test_an_engine_that_is_let_go_prepares_as_before(postgres: Postgres) -> None:
    with Database(prepare="never") as database:
        engine = database.create_engine(postgres.url(), pool_size=1)
        assert kept(engine, 8) == 0
        database.detach(engine)
        assert not {"do_rollback", "connect"} & set(vars(engine.dialect))
        engine.dispose()
        with pytest.raises(ProgrammingError), engine.connect() as connection:
            connection.execute(text("SELECT nothing"))
        assert kept(engine, 8) == 1
        engine.dispose()
