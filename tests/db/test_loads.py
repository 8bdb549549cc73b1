"""What SQLAlchemy loads in vain is told; of good code nothing is said."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ForeignKey, String, TypeDecorator, create_engine, inspect, select
from sqlalchemy.engine import Engine
from sqlalchemy.ext import serializer
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    defer,
    joinedload,
    load_only,
    mapped_column,
    relationship,
    selectinload,
    subqueryload,
    undefer,
)
from sqlalchemy.pool import StaticPool

from apsperf_mw import Suite
from apsperf_mw.observe.noted import Noted
from tests.db.postgres import Postgres

pytestmark = pytest.mark.usefixtures("little_to_walk")

LONG = "é" * 1500  # 3,000 bytes


class Base(DeclarativeBase):
    """All tables."""


class Singer(Base):
    __tablename__ = "singer"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    bio: Mapped[str] = mapped_column(default="")
    records: Mapped[list[Record]] = relationship(back_populates="singer")


class Record(Base):
    __tablename__ = "record"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    body: Mapped[str] = mapped_column(default=LONG)
    cover: Mapped[str] = mapped_column(default=LONG, deferred=True)
    singer_id: Mapped[int] = mapped_column(ForeignKey("singer.id"))
    singer: Mapped[Singer] = relationship(back_populates="records")
    notes: Mapped[list[Note]] = relationship()

    @property
    def summary(self) -> str:
        return self.body[:10]


class Note(Base):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    record_id: Mapped[int] = mapped_column(ForeignKey("record.id"))
    record: Mapped[Record] = relationship(lazy="joined", overlaps="notes")


class Flat(MappedAsDataclass, Base):
    __tablename__ = "flat"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str] = mapped_column(default=LONG)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        made = create_engine(f"sqlite:///{tmp_path / 'records.sqlite'}")
    else:
        server: Postgres = request.getfixturevalue("postgres")
        made = create_engine(server.url())
    fill(made)
    yield made
    made.dispose()


def fill(engine: Any) -> None:
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        for number in range(1, 6):
            singer = Singer(id=number, name=f"singer {number}")
            record = Record(id=number, title=f"record {number}", singer=singer)
            session.add_all([record, Flat(id=number)])
            session.flush()
            session.add(Note(id=number, record_id=number))
        session.commit()


class Told(logging.Handler):
    """Keeps what is said of loads."""

    def __init__(self) -> None:
        super().__init__()
        self.facts: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        facts = vars(record)["apsperf"]
        if facts["event"] == "unused_load":
            self.facts.append(facts)


@pytest.fixture
def told() -> Iterator[Told]:
    handler = Told()
    logging.getLogger("apsperf.database").addHandler(handler)
    yield handler
    logging.getLogger("apsperf.database").removeHandler(handler)


@pytest.fixture
def suite() -> Iterator[Suite]:
    made = Suite(database={"unused_loads": 1.0}, logging={"interval_s": 0.01})
    yield made
    made.close()


def said(suite: Suite, told: Told, ask: Callable[[], object], times: int = 3) -> list[Any]:
    """What is said of code that runs so often."""
    told.facts.clear()
    for _ in range(times):
        ask()
        gc.collect()
    suite.report()
    known = {(each["what"], each["fix"]): each for each in told.facts}
    return [known[key] for key in sorted(known)]


def brief(found: list[Any]) -> list[tuple[str, str]]:
    return [(each["what"], each["fix"]) for each in found]


RECORDS = select(Record).order_by(Record.id)
BODY = ("Record.body", "defer(Record.body)")


def plain(session: Session) -> None:
    assert [record.title for record in session.scalars(RECORDS)]


def got(session: Session) -> None:
    assert session.get_one(Record, 1).title


def undeferred(session: Session) -> None:
    rows = session.scalars(RECORDS.options(undefer(Record.cover), defer(Record.body)))
    assert [record.title for record in rows]


def followed(session: Session) -> None:
    note = session.get_one(Note, 1)
    assert note.record.title


def joined(session: Session) -> None:
    rows = session.scalars(RECORDS.options(joinedload(Record.singer)))
    assert [record.body for record in rows]


def selected(session: Session) -> None:
    rows = session.scalars(select(Singer).options(selectinload(Singer.records)))
    assert [singer.name for singer in rows]


def by_subquery(session: Session) -> None:
    rows = session.scalars(select(Singer).options(subqueryload(Singer.records)))
    assert [singer.name for singer in rows]


def nested(session: Session) -> None:
    load = joinedload(Record.singer).selectinload(Singer.records)
    assert [record.body + record.singer.name for record in session.scalars(RECORDS.options(load))]


def mapped(session: Session) -> None:
    assert [note.record_id for note in session.scalars(select(Note))]


def collected(session: Session) -> None:
    rows = session.scalars(RECORDS.options(joinedload(Record.notes))).unique()
    assert [record.body for record in rows]


BAD: dict[Callable[[Session], None], list[tuple[str, str]]] = {
    plain: [BODY],
    got: [BODY],
    undeferred: [("Record.cover", "defer(Record.cover)")],
    followed: [BODY],
    joined: [("Record.singer", "remove joinedload(Record.singer)")],
    selected: [BODY, ("Singer.records", "remove selectinload(Singer.records)")],
    by_subquery: [BODY, ("Singer.records", "remove subqueryload(Singer.records)")],
    nested: [("Singer.records", "remove selectinload(Singer.records)")],
    mapped: [("Note.record", "lazyload(Note.record)"), BODY],
    collected: [
        ("Record.notes", "remove joinedload(Record.notes)"),
    ],
}


@pytest.mark.parametrize("ask", BAD, ids=lambda ask: ask.__name__)
def test_what_is_loaded_in_vain_is_told(
    ask: Callable[[Session], None], engine: Engine, suite: Suite, told: Told
) -> None:
    suite.database().attach(engine)

    def run() -> None:
        with Session(engine) as session:
            ask(session)

    found = said(suite, told, run)
    assert brief(found) == BAD[ask]
    where = re.compile(rf"tests/db/test_loads\.py:\d+ in {ask.__name__}")
    assert all(where.match(each["site"]) for each in found)


KEPT: list[Any] = []


def read(session: Session) -> None:
    assert [record.body for record in session.scalars(RECORDS)]


def read_one(session: Session) -> None:
    assert [record.body for record in session.scalars(RECORDS) if record.id == 4]


def read_by_property(session: Session) -> None:
    assert [record.summary for record in session.scalars(RECORDS)]


def read_by_getattr(session: Session) -> None:
    assert [getattr(record, "body", "") for record in session.scalars(RECORDS)]


def read_by_vars(session: Session) -> None:
    assert [dict(vars(record)) for record in session.scalars(RECORDS)]


def read_by_items(session: Session) -> None:
    assert [list(vars(record).items()) for record in session.scalars(RECORDS)]


def read_by_inspection(session: Session) -> None:
    assert [inspect(record).dict["body"] for record in session.scalars(RECORDS)]
    assert [inspect(record).attrs.body.value for record in session.scalars(RECORDS)]


def sent(value: Any) -> Any:
    """What comes back of SQLAlchemy's own serializer."""
    copies: Any = serializer
    return copies.loads(copies.dumps(value), Base.metadata)


def read_by_serializer(session: Session) -> None:
    assert sent(session.scalars(RECORDS).all())[0].body == LONG


def read_by_copy(session: Session) -> None:
    assert [copy.copy(vars(record)) for record in session.scalars(RECORDS)]


def read_by_rows(session: Session) -> None:
    assert session.execute(select(Record.body)).all()


def read_later(session: Session) -> None:
    first = session.scalars(RECORDS).all()
    assert [record.body for record in session.scalars(RECORDS)]
    assert first


def read_after_commit(session: Session) -> None:
    records = session.scalars(RECORDS).all()
    session.commit()
    assert [record.body for record in records]


def loaded_only(session: Session) -> None:
    assert [r.title for r in session.scalars(RECORDS.options(load_only(Record.title)))]


def narrow(session: Session) -> None:
    assert [singer.id for singer in session.scalars(select(Singer))]


def kept(session: Session) -> None:
    KEPT.extend(session.scalars(RECORDS))


def nothing(session: Session) -> None:
    assert not session.scalars(RECORDS.where(Record.id == 0)).all()


def joined_and_used(session: Session) -> None:
    for record in session.scalars(RECORDS.options(joinedload(Record.singer))):
        assert record.body
        assert record.singer.name


def selected_and_used(session: Session) -> None:
    for singer in session.scalars(select(Singer).options(selectinload(Singer.records))):
        assert [record.body for record in singer.records]


def used_of_some(session: Session) -> None:
    for record in session.scalars(RECORDS.options(joinedload(Record.singer))):
        assert record.body
        assert record.id != 3 or record.singer.name


def lazily(session: Session) -> None:
    for record in session.scalars(RECORDS):
        assert record.body
        assert record.singer.name


def dataclass(session: Session) -> None:
    assert [flat.id for flat in session.scalars(select(Flat))]


def streamed(session: Session) -> None:
    rows = session.scalars(RECORDS.execution_options(yield_per=2))
    assert [record.body for record in rows]


GOOD: tuple[Callable[[Session], None], ...] = (
    *(read, read_one, read_by_property, read_by_getattr, read_by_vars, read_by_items),
    *(read_by_inspection, read_by_serializer, read_by_copy, read_by_rows, read_later),
    *(read_after_commit, loaded_only, narrow, kept, nothing, joined_and_used, selected_and_used),
    *(used_of_some, lazily, dataclass, streamed),
)


@pytest.mark.parametrize("ask", GOOD, ids=lambda ask: ask.__name__)
def test_of_good_code_nothing_is_said(
    ask: Callable[[Session], None], engine: Engine, suite: Suite, told: Told
) -> None:
    suite.database().attach(engine)

    def run() -> None:
        with Session(engine) as session:
            ask(session)

    assert said(suite, told, run, 4) == []
    KEPT.clear()


def test_the_report_has_the_bytes_and_the_line(engine: Engine, suite: Suite, told: Told) -> None:
    suite.database().attach(engine)

    def run() -> None:
        with Session(engine) as session:
            plain(session)

    said(suite, told, run, 2)
    assert suite.report().unused == []
    said(suite, told, run, 1)
    (unused,) = suite.report().unused
    assert (unused.what, unused.loads, unused.rows, unused.bytes_per_load) == (
        *BODY[:1],
        3,
        5,
        15000,
    )
    at = r"at \S+test_loads\.py:\d+ in plain"
    words = rf"was loaded 3 times {at}.* and never looked at, 15000 bytes a load"
    assert re.search(rf"Record\.body {words}; defer\(Record\.body\)$", str(suite.report()))
    assert suite.report().as_dict()["unused"][0]["fix"] == BODY[1]


def test_one_use_in_many_is_a_use(engine: Engine, suite: Suite, told: Told) -> None:
    suite.database().attach(engine)
    numbers = iter(range(10))

    def run() -> None:
        with Session(engine) as session:
            records = session.scalars(RECORDS).all()
            assert next(numbers) != 2 or records[0].body

    assert said(suite, told, run, 10) == []


def test_objects_behave_as_others(engine: Engine, suite: Suite) -> None:
    suite.database().attach(engine)
    with Session(engine) as session:
        record = session.scalars(RECORDS.options(joinedload(Record.singer))).first()
        assert record is not None
        assert type(vars(record)) is Noted
        assert type(vars(sent(record))) is dict
        record.body = "new"
        assert inspect(record).attrs.body.history.added == ["new"]
        session.commit()
        assert record.body == "new"
        del record.body
        record.body = "newer"
        session.commit()
        session.refresh(record)
        assert (record.body, record.cover) == ("newer", LONG)
        record.singer = session.get_one(Singer, 3)
        session.commit()
        assert {each.id for each in session.get_one(Singer, 3).records} == {1, 3}
        session.expunge(record)
        merged = session.merge(record)
        assert merged.body == "newer"
        session.delete(session.get_one(Note, 1))
        session.delete(merged)
        session.commit()
        assert session.get(Record, 1) is None
    for name in ("body", "singer"):
        assert type(vars(Record)[name]).__name__ == "InstrumentedAttribute"


def test_threads(engine: Engine, suite: Suite, told: Told) -> None:
    suite.database().attach(engine)
    wrong: list[object] = []

    def work() -> None:
        try:
            for _ in range(20):
                with Session(engine) as session:
                    plain(session)
                suite.report()
        except Exception as fault:
            wrong.append(fault)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert brief(said(suite, told, lambda: None)) in ([], [BODY])
    (unused,) = suite.report().unused
    assert unused.loads == 80


def listeners() -> int:
    manager: Any = inspect(Singer).class_manager
    return len(list(manager.dispatch.load))


def test_off_and_detached_nothing_is_heard(engine: Engine, suite: Suite, told: Told) -> None:
    before = listeners()
    off = Suite()
    off.database().attach(engine)
    assert listeners() == before
    off.close()
    db = suite.database()
    other = create_engine("sqlite://", poolclass=StaticPool)
    db.attach(engine)
    db.attach(other)
    assert listeners() == before + 1
    fill(other)

    def run() -> None:
        with Session(other) as session:
            plain(session)

    db.detach(other)
    assert said(suite, told, run) == []
    assert listeners() == before + 1
    db.detach(engine)
    assert listeners() == before
    other.dispose()


def test_a_closed_suite_hears_nothing(engine: Engine) -> None:
    before = listeners()
    suite = Suite(database={"unused_loads": 1.0})
    suite.database().attach(engine)
    suite.close()
    assert listeners() == before


def test_a_share_is_drawn(engine: Engine, told: Told) -> None:
    suite = Suite(database={"unused_loads": 0.5})
    suite.database().attach(engine)
    noted = 0
    for _ in range(200):
        with Session(engine) as session:
            noted += type(vars(session.get_one(Singer, 1))) is Noted
    assert 50 < noted < 150
    suite.close()


def test_of_too_many_nothing_is_said(engine: Engine, suite: Suite, told: Told) -> None:
    with Session(engine) as session:
        for number in range(10, 1100):
            session.add(Record(id=number, title="x", singer_id=1))
        session.commit()
    suite.database().attach(engine)

    def run() -> None:
        with Session(engine) as session:
            plain(session)

    assert said(suite, told, run) == []


class OddText(str):
    """Does not say how long it is."""

    __slots__ = ()

    def isascii(self) -> bool:
        raise RuntimeError("odd")


class Oddly(TypeDecorator[str]):
    impl = String
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return OddText(value)


class Odd(Base):
    __tablename__ = "odd"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Oddly, default="x")

    def __setattr__(self, name: str, value: object) -> None:
        if name == "__dict__":
            raise RuntimeError(name)
        super().__setattr__(name, value)


def test_a_fault_is_ours_alone(engine: Engine, suite: Suite, told: Told) -> None:
    with Session(engine) as session:
        session.add(Odd(id=1))
        session.commit()
    suite.database().attach(engine)

    def run() -> None:
        with Session(engine) as session:
            assert session.get_one(Odd, 1).text == "x"

    assert said(suite, told, run) == []
    assert suite.faults.counts["a look at what was loaded"] == 3


@pytest.mark.parametrize("driver", ["aiosqlite", "asyncpg"])
def test_an_async_session(
    driver: str, suite: Suite, told: Told, request: pytest.FixtureRequest
) -> None:
    if driver == "aiosqlite":
        url = "sqlite+aiosqlite://"
    else:
        url = request.getfixturevalue("postgres").url(driver)

    async def ask() -> list[Any]:
        engine = suite.database().create_async_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(fill)
        for _ in range(3):
            async with AsyncSession(engine) as session:
                assert [record.title for record in await session.scalars(RECORDS)]
        gc.collect()
        suite.report()
        await engine.dispose()
        return told.facts

    (facts,) = asyncio.run(ask())
    assert (facts["what"], facts["fix"]) == BODY
    assert re.match(r"tests/db/test_loads\.py:\d+ in test_an_async_session.*ask", facts["site"])
