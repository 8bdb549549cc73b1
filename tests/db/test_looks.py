"""How often, and by how many connections, PostgreSQL is asked what its schema is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("sqlglot")
from sqlalchemy import create_engine, event, text

from apsperf_mw.db import catalogue
from apsperf_mw.db.asking import asking_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from apsperf_mw import Suite
    from tests.db.postgres import Postgres


@pytest.fixture
def opened() -> list[Any]:
    return []


@pytest.fixture
def engine(
    postgres: Postgres, opened: list[Any], make_suite: Callable[..., Suite]
) -> Iterator[Engine]:
    engine = create_engine(postgres.url())
    event.listen(engine, "do_connect", lambda *_: opened.append(1))
    make_suite().database().attach(engine)
    yield engine
    engine.dispose()


def test_all_that_is_asked_of_a_schema_is_asked_on_one_connection(
    engine: Engine, opened: list[Any]
) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE looked_at (id int)"))
    before = len(opened)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO looked_at VALUES (1)"))
        connection.execute(text("SELECT id FROM looked_at"))
    assert len(opened) - before == 1


def test_what_needs_no_catalogue_asks_for_none(engine: Engine, opened: list[Any]) -> None:
    with engine.connect():
        before = len(opened)
    for statement in (
        "CREATE TABLE looked_at (id int)",
        "CREATE TABLE other (id int)",
        "ALTER TABLE other ADD COLUMN more int",
        "SELECT 1",
        "SAVEPOINT a",
        "SET LOCAL lock_timeout = 200",
    ):
        with engine.begin() as connection:
            connection.execute(text(statement))
    assert len(opened) == before


def test_no_question_of_several_waits_for_long(postgres: Postgres) -> None:
    import psycopg

    def reach() -> Any:
        return psycopg.connect(postgres.conninfo)

    with psycopg.connect(postgres.conninfo, autocommit=True) as holder:
        holder.execute("CREATE TABLE held_here (id int)")
        try:
            with holder.transaction():
                holder.execute("LOCK held_here IN ACCESS EXCLUSIVE MODE")
                with asking_apart(reach, briefly=True) as ask:
                    assert ask(catalogue.CHILDREN) == []
                    with pytest.raises(psycopg.errors.LockNotAvailable):
                        ask("SELECT count(*) FROM held_here")
        finally:
            holder.execute("DROP TABLE held_here")


@pytest.mark.parametrize("autocommit", [False, True])
def test_a_connection_that_is_asked_is_closed_and_has_begun_once(
    postgres: Postgres, autocommit: bool
) -> None:
    import psycopg

    made: list[psycopg.Connection[Any]] = []
    told: list[str] = []

    def reach() -> Any:
        connection = psycopg.connect(postgres.conninfo, autocommit=autocommit)
        connection.add_notice_handler(lambda notice: told.append(str(notice.message_primary)))
        made.append(connection)
        return connection

    with asking_apart(reach, briefly=True) as ask:
        assert made == []
        assert [ask("SHOW lock_timeout") for _ in range(3)] == [[("200ms",)]] * 3
    assert [each.closed for each in made] == [True]
    assert told == []
