"""psycopg's pools: as those of SQLAlchemy, a time-out names the holders and nothing leaks."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import Callable, Iterator
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any
from weakref import ref

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from psycopg_pool import ConnectionPool, NullConnectionPool, PoolTimeout
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from apsperf_mw import Database, SettingError, Suite
from apsperf_mw.cache.policy import Plan, current
from apsperf_mw.db.psycopg_pools import name_of
from tests.db.pgbouncer import Bouncer
from tests.db.postgres import Postgres
from tests.db.test_prepared import pooler
from tests.observe.support import page, points

PATIENCE_S = 0.3


@pytest.fixture
def database() -> Iterator[Database]:
    with Database(max_connections=2, connection_timeout=PATIENCE_S) as made:
        yield made


@pytest.fixture
def pool(database: Database, postgres: Postgres) -> Iterator[ConnectionPool]:
    with database.create_pool(postgres.conninfo) as made:
        made.wait()
        yield made


def watched(database: Database) -> Any:
    (found,) = database.suite.children.statements.pools
    return found


def hold(pool: Any) -> Any:
    return pool.getconn()


def test_a_time_out_names_the_holders(
    pool: ConnectionPool, caplog: pytest.LogCaptureFixture, postgres: Postgres
) -> None:
    token = current.set(Plan(route="/albums/{id}"))
    first = hold(pool)
    first.execute("SELECT 's3cret'").close()
    current.reset(token)
    second = hold(pool)

    began = monotonic()
    with pytest.raises(PoolTimeout) as raised:
        hold(pool)

    assert PATIENCE_S - 0.05 < monotonic() - began < PATIENCE_S + 2
    head, *holders = str(raised.value).splitlines()
    assert head == "couldn't get a connection after 0.30 sec; held by:"
    assert re.fullmatch(r"  /albums/\{id\} for \d\.\d s, last: SELECT \?", holders[0])
    where = r"taken at tests/db/test_psycopg_pools\.py:\d+ in hold"
    assert re.fullmatch(rf"  thread MainThread for \d\.\d s, {where}", holders[1])
    (told,) = [each for each in caplog.records if each.name == "apsperf.database"]
    place = f"127.0.0.1:{postgres.port}/postgres"
    assert told.getMessage().startswith(f"no connection of {place} in time; 2 are held: /albums/")
    assert "s3cret" not in told.getMessage() + str(raised.value)
    pool.putconn(first)
    pool.putconn(second)
    with pool.connection() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_51st_waits_ten_seconds_and_hears_of_all_others(postgres: Postgres) -> None:
    told: dict[str, tuple[float, str]] = {}

    def threads() -> None:
        with Database() as database, database.create_pool(postgres.conninfo) as pool:
            held = [hold(pool) for _ in range(50)]
            began = monotonic()
            with pytest.raises(PoolTimeout) as raised:
                hold(pool)
            told["thread"] = monotonic() - began, str(raised.value)
            for each in held:
                pool.putconn(each)

    async def tasks() -> None:
        with Database() as database:
            async with database.create_async_pool(postgres.conninfo) as pool:
                held = [await hold(pool) for _ in range(50)]
                began = monotonic()
                with pytest.raises(PoolTimeout) as raised:
                    await hold(pool)
                told["task"] = monotonic() - began, str(raised.value)
                for each in held:
                    await pool.putconn(each)

    waiting = Thread(target=threads)
    waiting.start()
    asyncio.run(tasks())
    waiting.join()
    assert set(told) == {"thread", "task"}
    for took_s, said in told.values():
        assert 9.8 <= took_s <= 10.2
        lines = said.splitlines()[1:]
        assert len(lines) == 50
        assert sum("taken at tests/db/test_psycopg_pools.py" in line for line in lines) == 10


def test_a_storm_of_cancellations_leaks_none(postgres: Postgres) -> None:
    async def storm(database: Database) -> tuple[int, int, int]:
        async with database.create_async_pool(postgres.conninfo, max_size=3, min_size=3) as pool:
            await pool.wait()
            seen = watched(database)

            async def ask() -> None:
                async with pool.connection() as connection:
                    await connection.execute("SELECT 1")
                    await asyncio.sleep(0.01)

            tasks = [asyncio.create_task(ask()) for _ in range(60)]
            for number, task in enumerate(tasks):
                await asyncio.sleep(0.001)
                if number % 3:
                    task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert any(isinstance(each, asyncio.CancelledError) for each in ended)
            left = len(seen.holders), len(seen.waiting)
            await asyncio.sleep(0.2)  # what was broken off is made anew meanwhile
            return *left, pool.get_stats()["pool_available"]

    with Database() as database:
        assert asyncio.run(storm(database)) == (0, 0, 3)


def test_metrics_are_what_a_hand_count_gives(postgres: Postgres, wrap: Callable[..., Any]) -> None:
    client = wrap(lambda _: page())
    client.ask("/")
    database = client.suite.database()
    with database.create_pool(postgres.conninfo, max_size=2, timeout=PATIENCE_S) as pool:
        pool.wait()
        one, two = hold(pool), hold(pool)
        pool.putconn(one)
        three = hold(pool)
        with pytest.raises(PoolTimeout):
            hold(pool)

        def values(name: str) -> dict[Any, float]:
            found = points(client, f"db.client.connection.{name}")
            assert {p.attributes["db.client.connection.pool.name"] for p in found} == {
                f"127.0.0.1:{postgres.port}/postgres"
            }
            state = "db.client.connection.state"
            return {p.attributes.get(state): getattr(p, "value", 0) or p.count for p in found}

        assert values("max") == {None: 2}
        assert values("timeouts") == {None: 1}
        assert values("wait_time") == {None: 3}
        assert values("create_time") == {None: 2}
        assert values("use_time")[None] >= 1
        pool.putconn(two)
        pool.putconn(three)


def test_the_state_is_told(database: Database, pool: ConnectionPool) -> None:
    from apsperf_mw.db.holding import counts, pending

    seen = watched(database)
    held = [hold(pool), hold(pool)]
    done = Event()

    def wait() -> None:
        pool.putconn(hold(pool))
        done.set()

    waiting = Thread(target=wait)
    waiting.start()
    until = monotonic() + 5
    while not seen.waiting and monotonic() < until:
        sleep(0.001)
    assert [value for value, _ in pending([seen])] == [1]
    assert [value for value, _ in counts([seen])] == [2, 0]
    pool.putconn(held.pop())
    assert done.wait(5)
    waiting.join()
    pool.putconn(held.pop())
    assert [value for value, _ in counts([seen])] == [0, 2]


def test_a_connection_that_is_not_given_back_is_told_of(
    postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    suite = Suite(database={"leak_s": 0.05})
    with suite.database().create_pool(postgres.conninfo) as pool:
        token = current.set(Plan(route="/albums/{id}"))
        kept = hold(pool)
        current.reset(token)
        pool.putconn(hold(pool))
        assert "not given back" not in caplog.text
        sleep(0.1)
        pool.putconn(hold(pool))
        place = f"127.0.0.1:{postgres.port}/postgres"
        assert f"a connection of {place} is not given back: /albums/{{id}} for 0.1" in caplog.text
        pool.putconn(kept)
    suite.close()


def test_statements_are_noted_and_prepared(postgres: Postgres) -> None:
    with (
        Database(prepare_after=2) as database,
        database.create_pool(postgres.conninfo, min_size=1, max_size=1) as pool,
    ):
        for number in range(6):
            with pool.connection() as connection:
                connection.execute(b"SELECT %s + 1", [number])
        with pool.connection() as connection:
            connection.execute(SQL("SELECT 1 AS {}").format(Identifier("one")))
            cursor = connection.cursor()
            cursor.executemany("SELECT length(%s)", [["a"], ["b"]])
            with pytest.raises(psycopg.errors.UndefinedTable):
                connection.execute("SELECT * FROM nowhere")
        stats = database.stats()
    calls = {row.statement: (row.calls, row.errors) for row in stats.rows}
    assert calls["SELECT ? + ?"] == (6, 0)
    assert calls['SELECT ? AS "one"'] == (1, 0)
    assert calls["SELECT length(?)"] == (1, 0)
    assert calls["SELECT * FROM nowhere"] == (1, 1)
    assert (stats.prepared, stats.prepared_calls) == (2, 4)  # executemany waits for nothing


def test_those_of_tasks_are_too(postgres: Postgres) -> None:
    async def run(database: Database) -> None:
        async with database.create_async_pool(postgres.conninfo, min_size=1, max_size=1) as pool:
            for number in range(4):
                async with pool.connection() as connection:
                    await connection.execute("SELECT %s + 1", [number])
            async with pool.connection() as connection:
                cursor = connection.cursor()
                await cursor.executemany("SELECT length(%s)", [["a"], ["b"]])
                with pytest.raises(psycopg.errors.UndefinedTable):
                    await connection.execute("SELECT * FROM nowhere")

    with Database(prepare_after=2) as database:
        asyncio.run(run(database))
        stats = database.stats()
    calls = {row.statement: (row.calls, row.errors) for row in stats.rows}
    assert calls == {
        "SELECT ? + ?": (4, 0),
        "SELECT length(?)": (1, 0),
        "SELECT * FROM nowhere": (1, 1),
    }
    assert (stats.prepared, stats.prepared_calls) == (2, 2)


@pytest.fixture
def bouncer(postgres: Postgres) -> Iterator[Bouncer]:
    with pooler(postgres) as made:
        yield made


def test_a_pool_behind_a_pooler_prepares_nothing(
    bouncer: Bouncer, caplog: pytest.LogCaptureFixture
) -> None:
    async def tasks(database: Database) -> list[Any]:
        async with database.create_async_pool(bouncer.conninfo, max_size=6) as pool:

            async def ask() -> None:
                for number in range(30):
                    async with pool.connection() as connection:
                        await connection.execute("SELECT %s + 1", [number])

            return await asyncio.gather(*(ask() for _ in range(6)), return_exceptions=True)

    with Database() as database:
        assert asyncio.run(tasks(database)) == [None] * 6
        with database.create_pool(bouncer.conninfo, max_size=6) as pool:
            for number in range(30):
                with pool.connection() as connection:
                    connection.execute("SELECT %s + 1", [number])
        assert database.stats().prepared == 0
    assert caplog.text.count("a pooler stands before") == 1


def test_a_pool_of_the_apps_own_is_watched(database: Database, postgres: Postgres) -> None:
    with ConnectionPool(
        postgres.conninfo, min_size=1, max_size=2, timeout=PATIENCE_S, open=False
    ) as pool:
        assert database.watch_pool(pool) is pool
        database.watch_pool(pool)
        seen = watched(database)
        with pool.connection():
            assert len(seen.holders) == 1
        assert not seen.holders
        pool.resize(1, 3)
        with pool.connection():
            assert seen.most == 3
        database.detach(pool)
        database.detach(pool)
        assert not {"getconn", "putconn", "_connect"} & set(vars(pool))
        with pool.connection():
            assert not seen.holders


def test_an_engine_may_take_its_connections_from_it(database: Database, postgres: Postgres) -> None:
    pool = ConnectionPool(postgres.conninfo, max_size=2, min_size=1, close_returns=True, open=False)
    database.watch_pool(pool, statements=False)
    creator: Any = pool.getconn
    engine = database.attach(
        create_engine("postgresql+psycopg://", creator=creator, poolclass=NullPool)
    )
    seen = next(each for each in database.suite.children.statements.pools if each.most == 2)
    with pool:
        for _ in range(9):
            with engine.begin() as connection:
                connection.execute(text("SELECT 1 AS mine"))
                assert len(seen.holders) == 1
        assert not seen.holders
    calls = {row.statement: row.calls for row in database.stats().rows}
    assert calls["SELECT ? AS mine"] == 9


def test_what_opens_a_connection_each_time_is_watched(
    database: Database, postgres: Postgres
) -> None:
    pool = NullConnectionPool(postgres.conninfo, max_size=2, timeout=PATIENCE_S, open=False)
    with database.watch_pool(pool):
        seen = watched(database)
        held = [hold(pool), hold(pool)]
        assert len(seen.holders) == 2
        with pytest.raises(PoolTimeout, match="held by"):
            hold(pool)
        for each in held:
            pool.putconn(each)
        assert not seen.holders


def test_a_dead_server_is_waited_for_and_nobody_holds_it(postgres: Postgres) -> None:
    with (
        Database(connection_timeout=PATIENCE_S) as database,
        database.create_pool("host=127.0.0.1 port=1 user=nobody dbname=x") as pool,
    ):
        with pytest.raises(PoolTimeout, match="held by:$"):
            hold(pool)
        assert not watched(database).holders


def test_a_pool_that_nobody_needs_is_let_go(database: Database, postgres: Postgres) -> None:
    pool = database.create_pool(postgres.conninfo)
    pool.close()
    known = ref(pool)
    del pool
    gc.collect()
    assert known() is None
    assert not list(database.suite.children.statements.pools)


@pytest.mark.parametrize(
    ("settings", "given", "sizes"),
    [
        (50, {}, (4, 50)),
        (2, {}, (2, 2)),
        (2, {"min_size": 8}, (8, 8)),
        (50, {"max_size": 3}, (3, 3)),
        (50, {"min_size": 1, "max_size": 7}, (1, 7)),
    ],
)
def test_a_pool_is_as_the_settings_say(
    settings: int, given: dict[str, Any], sizes: tuple[int, int]
) -> None:
    with Database(max_connections=settings) as database:
        pool = database.create_pool(open=False, **given)
        assert (pool.min_size, pool.max_size) == sizes
        assert pool.timeout == 10.0


def test_a_pools_name_tells_no_user() -> None:
    def named(conninfo: Any = "", **more: Any) -> str:
        return name_of(ConnectionPool(conninfo, open=False, name="mine", **more))

    assert named("postgresql://me:s3cret@db.example:5433/shop") == "db.example:5433/shop"
    assert named("", kwargs={"host": "db.example", "dbname": "shop"}) == "db.example/shop"
    assert named("") == "postgresql/"
    assert named(lambda: "host=db.example") == "mine"
    assert named("nonsense") == "mine"


def test_what_is_no_pool_is_refused(database: Database) -> None:
    with pytest.raises(SettingError, match="accepted: a pool of psycopg_pool"):
        database.watch_pool(object())
