"""Advice on the databases of an app, by what it has sent; and the plans of what was slow."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from apsperf_mw import Database, Suite
from apsperf_mw.errors import AdviceError, SettingError
from tests.advice.shop import ROWS, TABLES

ASKED = text("SELECT * FROM customer WHERE email = :email")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.sqlite")
    with engine.begin() as connection:
        for statement in (*TABLES, *ROWS["sqlite"]):
            connection.exec_driver_sql(statement)
    engine.dispose()
    return tmp_path / "shop.sqlite"


@pytest.fixture(params=["pysqlite", "aiosqlite", "psycopg", "psycopg_async", "asyncpg"])
def url(request: pytest.FixtureRequest) -> str:
    driver: str = request.param
    if "sqlite" in driver:
        place: Path = request.getfixturevalue("path")
        return f"sqlite+{driver}:///{place}"
    shop: str = request.getfixturevalue("shop")
    return shop.replace("postgresql:", f"postgresql+{driver}:")


def send(url: str, database: Database, times: int = 3) -> Any:
    """Send the statement a few times; the engine, which is attached."""
    if url.partition(":")[0].endswith(("async", "asyncpg", "aiosqlite")):
        return asyncio.run(send_async(url, database, times))
    engine = database.attach(create_engine(url))
    with engine.connect() as connection:
        for number in range(times):
            connection.execute(ASKED, {"email": f"user{number}@shop.test"})
    engine.dispose()
    return engine


async def send_async(url: str, database: Database, times: int) -> Any:
    engine = database.attach(create_async_engine(url))
    async with engine.connect() as connection:
        for number in range(times):
            await connection.execute(ASKED, {"email": f"user{number}@shop.test"})
    await engine.dispose()
    return engine


@pytest.fixture
def database() -> Iterator[Database]:
    with Database() as made:
        yield made


def test_what_an_engine_has_sent_is_advised_on(url: str, database: Database) -> None:
    engine = send(url, database)
    advice = database.advise(engine)
    (proposal,) = advice.proposals
    assert (proposal.table, proposal.columns) == ("customer", ["email"])
    assert proposal.helps[0].calls == 3
    assert str(database.advise().proposals[0]) == str(proposal)


def test_advice_is_given_where_a_loop_runs(path: Path, database: Database) -> None:
    async def main() -> int:
        await send_async(f"sqlite+aiosqlite:///{path}", database, 1)
        return len(database.advise().proposals)

    assert asyncio.run(main()) == 1


def test_a_database_in_memory_is_copied_too(database: Database) -> None:
    engine = database.attach(create_engine("sqlite://", poolclass=StaticPool))
    with engine.begin() as connection:
        for statement in (*TABLES, *ROWS["sqlite"]):
            connection.exec_driver_sql(statement)
        connection.execute(ASKED, {"email": "user1@shop.test"})
    assert [each.columns for each in database.advise().proposals] == [["email"]]
    engine.dispose()


def test_which_engine_has_to_be_clear(path: Path, database: Database) -> None:
    with pytest.raises(SettingError, match=r"engine: not given; accepted: .* of none"):
        database.advise()
    first, second = (create_engine(f"sqlite:///{path}") for _ in range(2))
    database.attach(first)
    with pytest.raises(SettingError, match="accepted: one that is attached"):
        database.advise(second)
    database.attach(second)
    with pytest.raises(SettingError, match="engine: not given"):
        database.advise()
    assert database.advise(first).proposals == []


def test_another_kind_of_database_is_refused(database: Database) -> None:
    engine = create_engine("sqlite://")
    engine.dialect.name = "mysql"
    database.attach(engine)
    with pytest.raises(AdviceError, match="mysql: no advice for it"):
        database.advise(engine)


def test_samples_can_be_switched_off(path: Path) -> None:
    with Database(samples=False) as database:
        send(f"sqlite:///{path}", database)
        assert database.advise().statements == 0


def test_long_values_are_not_kept(path: Path, database: Database) -> None:
    engine = database.attach(create_engine(f"sqlite:///{path}"))
    with engine.connect() as connection:
        connection.execute(ASKED, {"email": "x" * 1000})
    engine.dispose()
    ((_, why),) = database.advise().unplanned
    assert why == "it has places for values, and none are known"


def test_it_takes_settings_or_a_suite() -> None:
    suite = Suite()
    with Database(suite) as database:
        assert database.suite is suite
    with pytest.raises(SettingError, match="database.nonsense"):
        Database(nonsense=1)
    with pytest.raises(SettingError, match="suite: given with settings"):
        Database(suite, samples=False)
    suite.close()


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "apsperf.database")
    return caplog


def plans(told: pytest.LogCaptureFixture, within_s: float = 5.0, of: str = "") -> list[str]:
    """The lines that tell plans of such statements, once there are some."""
    until = time.monotonic() + within_s
    found: list[str] = []
    while not found and time.monotonic() < until:
        time.sleep(0.01)
        lines = [each.getMessage() for each in told.records]
        found = [each for each in lines if "plan of" in each and of in each]
    return found


def test_the_plan_of_a_slow_statement_is_told_once(
    url: str, told: pytest.LogCaptureFixture
) -> None:
    suite = Suite(logging={"slow_query_s": 1e-9, "interval_s": 0.01})
    send(url, Database(suite), times=50)
    (line,) = plans(told, of="FROM customer")
    assert "Seq Scan on customer" in line or "SCAN customer" in line
    assert "shop.test" not in line
    time.sleep(0.05)
    assert len(plans(told, of="FROM customer")) == 1
    suite.close()


def test_a_plan_executes_nothing(path: Path, told: pytest.LogCaptureFixture) -> None:
    suite = Suite(logging={"slow_query_s": 1e-9})
    engine = Database(suite).attach(create_engine(f"sqlite:///{path}"))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM customer WHERE id = :id"), {"id": 1})
    assert "customer" in "".join(plans(told))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM customer")).scalar() == 3999
    engine.dispose()
    suite.close()


def test_several_statements_at_once_are_not_planned(
    shop: str, told: pytest.LogCaptureFixture
) -> None:
    suite = Suite(logging={"slow_query_s": 1e-9})
    engine = Database(suite).attach(
        create_engine(shop.replace("postgresql:", "postgresql+psycopg:"))
    )
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1 FROM customer; CREATE TABLE made (id int)")
        connection.rollback()
    assert plans(told, within_s=0.5, of="made") == []
    with engine.connect() as connection:
        assert connection.execute(text("SELECT to_regclass('made')")).scalar() is None
    engine.dispose()
    suite.close()


def test_a_fast_statement_has_no_plan(path: Path, told: pytest.LogCaptureFixture) -> None:
    suite = Suite(logging={"slow_query_s": 60.0})
    send(f"sqlite:///{path}", Database(suite))
    assert plans(told, within_s=0.1) == []
    suite.close()


def test_a_database_that_is_gone_spoils_nothing(path: Path, told: pytest.LogCaptureFixture) -> None:
    suite = Suite(logging={"slow_query_s": 0.05})
    engine = Database(suite).attach(create_engine(f"sqlite:///{path}"))

    @event.listens_for(engine, "connect")
    def add_sleep(connection: Any, _: Any) -> None:
        connection.create_function("sleep", 1, time.sleep)

    with engine.connect() as connection:
        path.rename(path.with_name("away"))
        connection.execute(text("SELECT sleep(0.1) FROM customer LIMIT 1"))
    assert plans(told, within_s=0.3) == []
    assert "slow query" in told.text
    engine.dispose()
    suite.close()
