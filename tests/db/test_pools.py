"""Pools: a time-out names the holders, and the metrics are what a hand count gives."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool

from apsperf_mw import Database, Suite
from apsperf_mw.cache.policy import Plan, current
from apsperf_mw.db.pools import name_of
from tests.db.postgres import Postgres
from tests.observe.support import page, points

PATIENCE_S = 0.3


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = create_engine(
        f"sqlite:///{tmp_path}/shop.sqlite",
        poolclass=QueuePool,
        pool_size=2,
        max_overflow=0,
        pool_timeout=PATIENCE_S,
        connect_args={"check_same_thread": False},
    )
    yield made
    made.dispose()


def hold(engine: Engine) -> Any:
    return engine.connect()


def test_a_time_out_names_the_holders(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    suite = Suite()
    suite.database().attach(engine)
    token = current.set(Plan(route="/albums/{id}"))
    first = hold(engine)
    first.execute(text("SELECT 's3cret'")).close()
    current.reset(token)
    second = hold(engine)

    began = monotonic()
    with pytest.raises(PoolTimeout) as raised:
        hold(engine)

    assert PATIENCE_S - 0.05 < monotonic() - began < PATIENCE_S + 2
    head, *holders = str(raised.value).partition(" (Background")[0].splitlines()
    assert head.startswith("QueuePool limit of size 2 overflow 0 reached")
    assert head.endswith("; held by:")
    assert re.fullmatch(r"  /albums/\{id\} for \d\.\d s, last: SELECT \?", holders[0])
    where = r"taken at tests/db/test_pools\.py:\d+ in hold"
    assert re.fullmatch(rf"  thread MainThread for \d\.\d s, {where}", holders[1])
    (told,) = [each for each in caplog.records if each.name == "apsperf.database"]
    assert told.levelname == "ERROR"
    assert "/albums/{id} for" in told.getMessage()
    assert "s3cret" not in told.getMessage() + str(raised.value)
    first.close()
    second.close()
    hold(engine).close()


def test_metrics_are_what_a_hand_count_gives(engine: Engine, wrap: Callable[..., Any]) -> None:
    client = wrap(lambda _: page())
    client.ask("/")
    client.suite.database().attach(engine)
    one, two = hold(engine), hold(engine)
    one.close()
    three = hold(engine)
    with pytest.raises(PoolTimeout):
        hold(engine)

    def values(name: str) -> dict[Any, float]:
        found = points(client, f"db.client.connection.{name}")
        assert {p.attributes["db.client.connection.pool.name"] for p in found} == {
            "sqlite/shop.sqlite"
        }
        state = "db.client.connection.state"
        return {p.attributes.get(state): getattr(p, "value", 0) or p.count for p in found}

    assert values("max") == {None: 2}
    assert values("timeouts") == {None: 1}
    assert values("wait_time") == {None: 3}
    assert values("create_time") == {None: 2}
    assert values("use_time")[None] >= 1
    two.close()
    three.close()


def test_who_waits_is_counted(engine: Engine) -> None:
    suite = Suite()
    suite.database().attach(engine)
    (pool,) = suite.children.statements.pools
    held = [hold(engine), hold(engine)]
    done = Event()

    def wait() -> None:
        hold(engine).close()
        done.set()

    waiting = Thread(target=wait)
    waiting.start()
    until = monotonic() + 5
    while not pool.waiting and monotonic() < until:
        pass
    assert len(pool.waiting) == 1
    held.pop().close()
    assert done.wait(5)
    waiting.join()
    assert not pool.waiting
    held.pop().close()
    assert not pool.holders


def test_a_pool_that_takes_the_place_of_another_is_watched(engine: Engine) -> None:
    suite = Suite()
    suite.database().attach(engine)
    (pool,) = suite.children.statements.pools
    assert not engine._has_events  # they would cost each statement microseconds
    hold(engine).close()
    engine.dispose()
    with hold(engine) as connection:
        assert len(pool.holders) == 1
        connection.invalidate()
    assert not pool.holders
    with hold(engine) as connection:
        connection.detach()
        assert not pool.holders
    suite.database().detach(engine)
    assert not {"_do_get", "_create_connection"} & set(vars(engine.pool))
    with hold(engine):
        assert not pool.holders


def test_a_storm_of_cancellations_leaks_none(tmp_path: Path) -> None:
    suite = Suite()

    async def storm() -> tuple[int, int]:
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{tmp_path}/shop.sqlite",
            poolclass=AsyncAdaptedQueuePool,
            pool_size=3,
            max_overflow=0,
        )
        suite.database().attach(engine)
        (pool,) = suite.children.statements.pools

        async def ask() -> None:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
                await asyncio.sleep(0.01)

        tasks = [asyncio.create_task(ask()) for _ in range(60)]
        for number, task in enumerate(tasks):
            await asyncio.sleep(0.001)
            if number % 3:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        left = len(pool.holders) + len(pool.waiting)
        real: Any = engine.pool
        out = real.checkedout()
        await engine.dispose()
        return left, out

    assert asyncio.run(storm()) == (0, 0)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://me:s3cret@db.example:5433/shop", "db.example:5433/shop"),
        ("postgresql:///shop", "postgresql/shop"),
        ("sqlite:////home/me/shop.sqlite", "sqlite/shop.sqlite"),
        ("sqlite://", "sqlite/"),
    ],
)
def test_a_pools_name_tells_no_user(url: str, name: str) -> None:
    assert name_of(make_url(url)) == name


def test_an_engine_is_made_as_the_settings_say(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Database(max_connections=3, connection_timeout=PATIENCE_S) as database:
        engine = database.create_engine(f"sqlite:///{tmp_path}/shop.sqlite")
        held = [hold(engine) for _ in range(3)]
        began = monotonic()
        with pytest.raises(PoolTimeout, match="held by"):
            hold(engine)
        assert PATIENCE_S - 0.05 < monotonic() - began < PATIENCE_S + 2
        for each in held:
            each.close()
        engine.dispose()
        other = database.create_engine(f"sqlite:///{tmp_path}/shop.sqlite", pool_size=7)
        assert isinstance(other.pool, QueuePool)
        assert other.pool.size() == 7
        database.create_engine("sqlite://").dispose()  # in memory: it has no such pool
        other.dispose()


def test_an_async_engine_is_made_so_too(tmp_path: Path) -> None:
    async def main() -> int:
        with Database(max_connections=4) as database:
            engine = database.create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.sqlite")
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
            pool: Any = engine.pool
            await engine.dispose()
            # Older releases of SQLAlchemy open a file anew each time.
            most = pool.size() if hasattr(pool, "size") else 4
            return int(most) + database.stats().calls

    assert asyncio.run(main()) == 5


def test_a_connection_that_was_idle_is_tried_before_it_is_used(postgres: Postgres) -> None:
    with one_that_was_killed(postgres, 0.0) as (engine, number), engine.connect() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar() != number


def test_one_that_was_in_use_a_moment_ago_is_not(postgres: Postgres) -> None:
    with (
        one_that_was_killed(postgres, 60.0) as (engine, _),
        pytest.raises(DBAPIError),
        engine.connect() as connection,
    ):
        connection.execute(text("SELECT 1"))


@contextmanager
def one_that_was_killed(postgres: Postgres, ping_idle_s: float) -> Iterator[tuple[Engine, Any]]:
    """An engine whose pool has one connection, which the server has ended, and its number."""
    with Database(ping_idle_s=ping_idle_s) as database:
        engine = database.create_engine(postgres.url())
        with engine.connect() as connection:
            number = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        kill(postgres, number)
        yield engine, number
        engine.dispose()


def kill(postgres: Postgres, number: Any) -> None:
    import psycopg

    with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", [number])


def test_a_connection_that_is_not_given_back_is_told_of(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    suite = Suite(database={"leak_s": 0.05})
    suite.database().attach(engine)
    token = current.set(Plan(route="/albums/{id}"))
    kept = hold(engine)
    current.reset(token)
    hold(engine).close()
    assert "not given back" not in caplog.text
    sleep(0.1)
    hold(engine).close()
    assert (
        "a connection of sqlite/shop.sqlite is not given back: /albums/{id} for 0.1 s"
        in caplog.text
    )
    kept.close()
    suite.close()
