"""With the cache on, statements are to SQLAlchemy and its users what they are without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, func, select, text
from sqlalchemy.engine import Engine
from sqlalchemy.engine.cursor import BufferedRowCursorFetchStrategy
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.pool import StaticPool

from apsperf_mw import Suite
from apsperf_mw.db import results
from apsperf_mw.db.database import Database
from tests.db.postgres import Postgres

METADATA = MetaData()
SEED = Table("seed", METADATA, Column("id", Integer, primary_key=True))
GROWN = Table(
    "grown",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("after", Integer, default=select(func.max(SEED.c.id)).scalar_subquery()),
)


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Iterator[Suite]:
    """All is kept from its first time on."""
    monkeypatch.setattr(results.Results, "_is_worth_it", lambda *_: True)
    made = Suite(database={"cache_all": True})
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, suite: Suite) -> Iterator[Engine]:
    if request.param == "sqlite":
        made = create_engine("sqlite://", poolclass=StaticPool)
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        made = create_engine(postgres.url())
    METADATA.create_all(made)
    with made.begin() as connection:
        connection.execute(SEED.insert(), [{"id": each} for each in range(1, 41)])
    suite.database().attach(made)
    yield made
    made.dispose()


def hits(database: Database) -> int:
    return database.stats().hits


def test_a_default_of_a_statement_has_its_value_each_time(engine: Engine) -> None:
    for _ in range(3):
        with engine.connect() as connection:
            default: Any = GROWN.c.after.default
            assert connection.scalar(default) == 40
        with engine.begin() as connection:
            connection.execute(GROWN.insert())
    with engine.connect() as connection:
        assert connection.scalars(select(GROWN.c.after)).all() == [40, 40, 40]


@pytest.mark.parametrize("option", [{"yield_per": 10}, {"stream_results": True}])
def test_what_is_streamed_is_not_held(option: dict[str, Any], engine: Engine, suite: Suite) -> None:
    for _ in range(2):
        with engine.connect() as connection:
            rows = connection.execute(select(SEED.c.id), execution_options=option)
            assert isinstance(rows.cursor_strategy, BufferedRowCursorFetchStrategy)
            assert len(rows.all()) == 40
    assert hits(suite.database()) == 0


def test_a_cursor_tells_what_it_would_if_its_statement_had_been_sent(
    engine: Engine, suite: Suite
) -> None:
    told = []
    for _ in range(2):
        with engine.connect() as connection:
            rows: Any = connection.execute(text("SELECT id AS one, 2 AS two FROM seed"))
            names = [column[0] for column in rows.cursor.description]
            told.append((names, rows.rowcount, rows.cursor.rowcount, len(rows.all())))
    assert told[0] == told[1]
    assert told[0][0] == ["one", "two"]
    assert told[0][1] == (40 if engine.dialect.name == "postgresql" else -1)
    assert hits(suite.database()) == 1


def test_a_dialect_that_reads_its_cursor_finds_the_rows(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Reads(engine.dialect.execution_ctx_cls):  # type: ignore[name-defined, misc]
        def post_exec(self) -> None:
            seen.append(len(self.cursor.fetchmany(10)))

    assert issubclass(Reads, DefaultExecutionContext)
    monkeypatch.setattr(engine.dialect, "execution_ctx_cls", Reads)
    for _ in range(2):
        with engine.connect() as connection:
            assert len(connection.execute(select(SEED.c.id)).all()) == 30
    assert seen == [10, 10]
