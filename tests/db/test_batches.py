"""Many rows at once: they are there, they are heard of, and a bad one is named."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import (
    JSON,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    TypeDecorator,
    Uuid,
    func,
    select,
    text,
)
from sqlalchemy.engine import Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from apsperf_mw import Database, SettingError
from apsperf_mw.db.copying import Unwritable, lines_of
from apsperf_mw.errors import BatchError
from tests.db.postgres import Postgres


class Base(DeclarativeBase):
    """Of all models here."""


class Artist(Base):
    __tablename__ = "artist"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column("Full Name")
    rank: Mapped[int] = mapped_column(default=7)


ARTIST: Any = Artist.__table__
THINGS = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(200)),
    Column("price", Numeric(10, 2)),
    Column("made", Date),
    Column("at", DateTime(timezone=True)),
    Column("mark", Uuid),
    Column("data", LargeBinary),
    Column("more", JSON),
    Column("parent", Integer, ForeignKey("things.id")),
)
ROW = {
    "id": 1,
    "name": "tab\tline\nback\\slash \\N é '\"",
    "price": Decimal("12.50"),
    "made": date(2026, 1, 2),
    "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "mark": UUID(int=7),
    "data": b"\x00\xff\\",
    "more": {"a": [1, None]},
    "parent": None,
}
COUNT = 120


@pytest.fixture
def database() -> Iterator[Database]:
    with Database() as made:
        yield made


@pytest.fixture(params=["sqlite", "psycopg", "psycopg2-like"])
def engine(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        made = database.create_engine(f"sqlite:///{tmp_path}/shop.sqlite")
    elif request.param == "psycopg":
        made = database.create_engine(request.getfixturevalue("postgres").url())
    else:  # a driver of which no COPY is known
        made = database.create_engine(request.getfixturevalue("postgres").url())
        request.getfixturevalue("monkeypatch").setattr("apsperf_mw.db.writing.LEAST_COPIED", 10**9)
    Base.metadata.create_all(made)
    THINGS.metadata.create_all(made)
    yield made
    made.dispose()


def count(engine: Engine, table: Any = THINGS) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def many(number: int = COUNT, **more: Any) -> list[dict[str, Any]]:
    return [{**ROW, "id": each, **more} for each in range(1, number + 1)]


def test_rows_of_every_type_come_back_as_they_were(engine: Engine, database: Database) -> None:
    with engine.begin() as connection, database.batch(connection) as batch:
        batch.insert(THINGS, *many())
        assert batch.written == 0
    assert batch.written == COUNT
    with engine.connect() as connection:
        first = dict(connection.execute(select(THINGS).order_by(THINGS.c.id)).first()._mapping)  # type: ignore[union-attr]
    first["at"] = first["at"].replace(tzinfo=UTC) if first["at"].tzinfo is None else first["at"]
    assert first == ROW
    assert count(engine) == COUNT


def test_chunks_are_told_of_as_they_are_written(engine: Engine, database: Database) -> None:
    told: list[int] = []
    with engine.begin() as connection:
        with database.batch(connection, chunk=50, progress=told.append) as batch:
            batch.insert(THINGS, *many())
            assert told == [50, 100]
        assert told == [50, 100, COUNT]


def test_what_a_batch_wrote_is_rolled_back_with_the_rest(
    engine: Engine, database: Database
) -> None:
    with engine.connect() as connection:
        with database.batch(connection) as batch:
            batch.insert(THINGS, *many())
        connection.rollback()
    assert count(engine) == 0


def test_what_came_first_is_written_first(engine: Engine, database: Database) -> None:
    with engine.begin() as connection, database.batch(connection, chunk=2) as batch:
        batch.insert(THINGS, {"id": 1, "name": "new"})
        batch.update(THINGS, {"id": 1, "name": "updated"}, {"id": 2, "name": "updated"})
    with engine.connect() as connection:
        assert connection.execute(select(THINGS.c.name)).scalars().all() == ["updated"]


def test_a_column_may_have_any_name(engine: Engine, database: Database) -> None:
    table = Table("odd", MetaData(), Column("id", Integer, primary_key=True),
                  Column("key_id", Integer), Column("v", String))  # fmt: skip
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"id": 1, "key_id": 7}, {"id": 7, "key_id": 9}])
        with database.batch(connection) as batch:
            batch.update(table, {"id": 1, "key_id": 7, "v": "changed"})
        rows = connection.execute(select(table).order_by(table.c.id)).all()
    assert [tuple(row) for row in rows] == [(1, 7, "changed"), (7, 9, None)]
    table.drop(engine)


class Lowered(TypeDecorator[str]):
    """Written by an expression."""

    impl = String
    cache_ok = True

    def bind_expression(self, bindparam: Any) -> Any:
        return func.lower(bindparam)


ODD: list[tuple[Any, Any, Any]] = [
    (Lowered(), "SECRET", "secret"),
    (String(), "é", "é"),
    (DateTime(timezone=True), ROW["at"], ROW["at"]),
]


@pytest.mark.parametrize(("kind", "given", "wanted"), ODD, ids=["expression", "letters", "moment"])
@pytest.mark.parametrize("number", [10, COUNT])
def test_values_are_the_same_whichever_way_they_go(
    postgres: Postgres, database: Database, kind: Any, given: Any, wanted: Any, number: int
) -> None:
    engine = database.create_engine(postgres.url(), client_encoding="latin1")
    table = Table("odd", MetaData(), Column("id", Integer, primary_key=True), Column("v", kind))
    table.create(engine)
    with engine.begin() as connection, database.batch(connection) as batch:
        batch.insert(table, *({"id": n, "v": given} for n in range(number)))
    with engine.connect() as connection:
        assert set(connection.execute(select(table.c.v)).scalars()) == {wanted}
    engine.dispose()


def test_a_translated_schema_is_heeded(postgres: Postgres, database: Database) -> None:
    engine = database.create_engine(postgres.url())
    table = Table("odd", MetaData(), Column("id", Integer, primary_key=True))
    table.create(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA other")
        connection.exec_driver_sql("CREATE TABLE other.odd (id int)")
    translated = engine.execution_options(schema_translate_map={None: "other"})
    with translated.begin() as connection, database.batch(connection) as batch:
        batch.insert(table, *({"id": n} for n in range(COUNT)))
    assert count(engine, table) == 0
    assert count(translated, table) == COUNT
    engine.dispose()


def test_objects_are_added_with_the_defaults_of_their_class(
    engine: Engine, database: Database
) -> None:
    with Session(engine) as session, session.begin(), database.batch(session) as batch:
        for number in range(COUNT):
            batch.add(Artist(name=f"artist {number}"))
    with Session(engine) as session:
        assert session.query(Artist).filter(Artist.rank == 7).count() == COUNT
        assert session.query(Artist).filter(Artist.name == "artist 7").count() == 1


def test_rows_take_the_place_of_others_or_change_them(engine: Engine, database: Database) -> None:
    with engine.begin() as connection:
        with database.batch(connection) as batch:
            batch.insert(THINGS, *many())
        with database.batch(connection) as batch:
            batch.upsert(THINGS, *({"id": n, "name": "new"} for n in range(100, 140)))
            batch.update(THINGS, *({"id": n, "name": "changed"} for n in range(1, 11)))
            batch.upsert(THINGS, {"id": 1}, {"id": 200})
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT name, count(*) FROM things GROUP BY name")).all()
    assert dict(map(tuple, rows)) == {ROW["name"]: 89, "new": 40, "changed": 10, None: 1}


@pytest.mark.parametrize("bad", [0, 63, COUNT - 1])
def test_the_row_that_cannot_be_written_is_named(
    engine: Engine, database: Database, bad: int
) -> None:
    rows = many()
    rows[bad]["id"] = 1000
    with engine.begin() as connection:
        connection.execute(THINGS.insert(), {"id": 1000, "name": "there"})
        connection.execute(THINGS.insert(), {"id": 1001, "name": "before"})
        batch = database.batch(connection)
        batch.insert(THINGS, *rows)
        with pytest.raises(
            BatchError, match=rf"insert into things: row {bad} \(id 1000\): "
        ) as told:
            batch.flush()
        assert "slash" not in str(told.value).partition(": ")[0]
    assert count(engine) == 2  # the chunk is not there; what came before it is


def test_where_each_statement_is_committed_so_is_each_chunk(
    engine: Engine, database: Database
) -> None:
    alone = engine.execution_options(isolation_level="AUTOCOMMIT")
    with alone.connect() as connection, database.batch(connection) as batch:
        batch.insert(THINGS, *many())
    assert count(engine) == COUNT
    more = [{**row, "id": 1000 + row["id"]} for row in many()]
    more[40]["id"] = 7
    with alone.connect() as connection:
        batch = database.batch(connection)
        batch.insert(THINGS, *more)
        with pytest.raises(BatchError, match=r"insert into things: row 40 \(id 7\): "):
            batch.flush()
        connection.execute(THINGS.insert(), {"id": 5000, "name": "after"})
    assert count(engine) == COUNT + 1


def test_what_raises_inside_writes_nothing_more(engine: Engine, database: Database) -> None:
    def fill(connection: Any) -> None:
        with database.batch(connection) as batch:
            batch.insert(THINGS, *many())
            raise ZeroDivisionError

    with engine.begin() as connection, pytest.raises(ZeroDivisionError):
        fill(connection)
    assert count(engine) == 0


def test_kept_rows_are_void_once_a_batch_is_committed(engine: Engine, database: Database) -> None:
    asked = select(func.count()).select_from(THINGS).execution_options(apsperf_cache="long")

    def counted() -> int:
        with engine.connect() as connection:
            return connection.execute(asked).scalar_one()

    assert [counted(), counted()] == [0, 0]
    with engine.begin() as connection, database.batch(connection) as batch:
        batch.insert(THINGS, *many())
    assert counted() == COUNT
    assert database.stats().hits == 1


def test_a_stream_has_some_rows_at_once(engine: Engine, database: Database) -> None:
    with engine.begin() as connection, database.batch(connection) as batch:
        batch.insert(THINGS, *many())
    asked = select(THINGS.c.id).order_by(THINGS.c.id)
    with engine.connect() as connection:
        rows = database.stream(connection, asked, chunk=7)
        assert [next(rows).id for _ in range(3)] == [1, 2, 3]
        assert len(list(rows)) == COUNT - 3
        with pytest.raises(SettingError, match="chunk: 0 given"):
            database.stream(connection, asked, chunk=0)
    with Session(engine) as session:
        assert sum(1 for _ in database.stream(session, select(Artist), chunk=5)) == 0


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (lambda batch: batch.insert(THINGS, {"nmae": 1}), "things: 'nmae' given; accepted: id, "),
        (
            lambda batch: batch.update(THINGS, {"name": 1}),
            "no 'id' given, which is part of the key",
        ),
        (lambda batch: batch.upsert(THINGS, {"id": 1}, key=["x"]), "'x' given"),
        (lambda batch: batch.insert(THINGS, [{"id": 1}]), "list given; accepted: mappings"),
        (lambda batch: batch.add("x"), "accepted: an object of a mapped class"),
    ],
)
def test_what_is_no_row_is_refused(fill: Any, said: str) -> None:
    with Database() as database:
        engine = database.create_engine("sqlite://")
        with engine.connect() as connection, pytest.raises(SettingError, match=said):
            fill(database.batch(connection))
        with engine.connect() as connection, pytest.raises(SettingError, match="chunk: 0 given"):
            database.batch(connection, chunk=0)
        engine.dispose()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg_async"])
def test_an_async_connection_copies_too(
    postgres: Postgres, database: Database, driver: str
) -> None:
    async def main() -> list[int]:
        engine = database.create_async_engine(postgres.url(driver))
        async with engine.begin() as connection:
            await connection.run_sync(THINGS.metadata.create_all)
            await connection.run_sync(fill)
        async with engine.connect() as connection:
            found = await connection.execute(select(func.count()).select_from(THINGS))
            told = [found.scalar_one()]
            names = await connection.execute(select(THINGS.c.name).limit(1))
            told.append(names.scalar_one() == ROW["name"])
        await engine.dispose()
        return told

    def fill(connection: Any) -> None:
        with database.batch(connection) as batch:
            batch.insert(THINGS, *many())

    assert asyncio.run(main()) == [COUNT, True]


@given(st.lists(st.tuples(st.text(), st.integers(), st.floats(allow_nan=False), st.none())))
def test_lines_are_read_as_what_they_were(rows: list[tuple[Any, ...]]) -> None:
    read = []
    for line in lines_of(rows).decode("utf-8", "surrogatepass").split("\n")[:-1]:
        first, *rest = line.split("\t")
        for escape, meant in (("\\n", "\n"), ("\\r", "\r"), ("\\t", "\t")):
            first = first.replace("\\\\", "\0\0").replace(escape, meant).replace("\0\0", "\\\\")
        read.append((first.replace("\\\\", "\\"), *rest))
    wanted = [(a, str(b), repr(c), "\\N") for a, b, c, _ in rows]
    if not any("\0" in row[0] for row in rows):
        assert read == wanted


def test_a_value_without_a_form_is_not_copied() -> None:
    with pytest.raises(Unwritable, match="object"):
        lines_of([(object(),)])
