"""A storm's operations by SQLAlchemy: reads through the cache, and writes of every kind."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from sqlalchemy import ForeignKey, create_engine, event, func, insert, select, text, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from apsperf_mw import Suite
from tests.db.storm.board import BULK, BULK_ROWS, CHILD, KEYS, NEVER, WIDE, Board
from tests.db.storm.ground import ALTERS

Write = Callable[[Connection, int], tuple[int, int] | None]


class Base(DeclarativeBase):
    """The tables that are mapped."""


class KV(Base):
    __tablename__ = "kv"
    k: Mapped[int] = mapped_column(primary_key=True)
    v: Mapped[int]


class Label(Base):
    __tablename__ = "label"
    k: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    kv_id: Mapped[int] = mapped_column(ForeignKey("kv.k"))
    kv: Mapped[KV] = relationship()


class Bulk(Base):
    __tablename__ = "bulk"
    k: Mapped[int] = mapped_column(primary_key=True)
    v: Mapped[int]


MORE = text("UPDATE kv SET v = v + 1 WHERE k = :k RETURNING v")
DIRTY = text("UPDATE kv SET v = v + :n WHERE k = :k")
OWN = text("SELECT v FROM kv WHERE k = :k")


class Alchemy:
    """One process's engine, and what is done by it."""

    faults: tuple[type[BaseException], ...] = (DBAPIError,)

    def __init__(self, url: str, settings: dict[str, Any], threads: int, board: Board) -> None:
        self.board = board
        self.suite = Suite(**settings)
        self.database = self.suite.database()
        self.is_sqlite = url.startswith("sqlite")
        more: dict[str, Any] = {"connect_args": {"timeout": 60.0}} if self.is_sqlite else {}
        self.engine = create_engine(url, pool_size=threads + 2, **more)
        if self.is_sqlite:
            event.listen(self.engine, "connect", self._keyed)
        self.database.attach(self.engine)
        self.ask: dict[str, Any] = {"apsperf_cache": settings.get("ttl", {}).get("medium", "long")}
        self.ways = [
            *(
                self.plainly,
                self.by_objects,
                self.many,
                self.by_text,
                self.by_view,
                self.by_trigger,
            ),
            *(self.in_vain, self.after_a_savepoint, self.at_once, self.upserted, self.anew),
            *(self.cascaded, self.child_in_vain),
        ]
        if not self.is_sqlite:
            self.ways += [self.by_function, self.by_block]
        self.rare = [self.refilled, self.altered]
        self.calm = [self.by_key] * 6 + [
            *(self.by_orm, self.by_get, self.all_keys, self.joined, self.summed, self.children),
            *(self.bulky, self.widely, self.several, self.in_snapshot, self.while_held),
        ]
        self.looks = [*self.calm, self.own_write]

    def _keyed(self, connection: Any, _: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON").close()

    def stop(self) -> None:
        """Let go of it."""
        self.engine.dispose()
        self.suite.close()

    # Reads.

    def read(self, random: Random, *, calmly: bool) -> None:
        """One of them; `calmly` without any that writes what it rolls back."""
        random.choice(self.calm if calmly else self.looks)(random)

    def _rows(self, connection: Any, query: Any, **values: Any) -> list[Any]:
        return list(connection.execute(query.execution_options(**self.ask), values))

    def _key(self, connection: Connection, k: int, table: str, how: str, mark: Any = None) -> None:
        mark = mark or self.board.mark()
        rows = self._rows(connection, text(f"SELECT v FROM {table} WHERE k = :k"), k=k)
        self.board.saw(mark, k, rows[0][0] if rows else None, how)

    def by_key(self, random: Random) -> None:
        with self.engine.connect() as connection:
            self._key(connection, random.randrange(KEYS), random.choice(("kv", "seen")), "by key")

    def by_orm(self, random: Random) -> None:
        k = random.randrange(KEYS)
        mark = self.board.mark()
        with Session(self.engine) as session:
            query = select(KV).where(KV.k == k).execution_options(**self.ask)
            self.board.saw(mark, k, session.scalars(query).one().v, "by orm")

    def by_get(self, random: Random) -> None:
        k = random.randrange(KEYS)
        mark = self.board.mark()
        with Session(self.engine) as session:
            found = session.get(KV, k, execution_options=self.ask)
            self.board.saw(mark, k, None if found is None else found.v, "by get")

    def all_keys(self, random: Random) -> None:
        mark = self.board.mark()
        with self.engine.connect() as connection:
            rows = self._rows(connection, text("SELECT k, v FROM kv ORDER BY k"))
        for k, version in rows:
            self.board.saw(mark, k, version, "all keys")

    def joined(self, random: Random) -> None:
        k = random.randrange(KEYS)
        mark = self.board.mark()
        with Session(self.engine) as session:
            query = select(KV.v).join(Label, Label.kv_id == KV.k).where(Label.k == k)
            found = session.execute(query.execution_options(**self.ask)).scalar()
        self.board.saw(mark, k, found, "joined")

    def summed(self, random: Random) -> None:
        mark = self.board.mark()
        with self.engine.connect() as connection:
            for k, version in self._rows(connection, select(KV.k, func.max(KV.v)).group_by(KV.k)):
                self.board.saw(mark, k, version, "aggregate")

    def children(self, random: Random) -> None:
        mark = self.board.mark()
        with self.engine.connect() as connection:
            ((found,),) = self._rows(connection, text("SELECT max(parent_id) FROM child"))
        self.board.saw(mark, CHILD, found, "children")

    def bulky(self, random: Random, level: str = "") -> None:
        mark = self.board.mark()
        with self.engine.connect() as connection:
            query = text("SELECT count(*), min(v), max(v) FROM bulk")
            ((count, least, most),) = self._rows(connection, query)
        whole = count == BULK_ROWS and least == most
        self.board.saw(mark, BULK, most if whole else None, f"bulk {count, least, most}")

    def widely(self, random: Random) -> None:
        mark = self.board.mark()
        with self.engine.connect() as connection:
            rows = self._rows(connection, text("SELECT * FROM wide"))
        self.board.saw(mark, WIDE, rows[0].v if rows else None, "wide")

    def several(self, random: Random) -> None:
        """In one transaction, each statement of which sees what is committed by then."""
        with self.engine.connect() as connection:
            if random.random() < 0.3:
                connection.execute(text("SELECT 1 FROM label WHERE k = 0"))
            for _ in range(3):
                self._key(connection, random.randrange(KEYS), "kv", "several")

    def while_held(self, random: Random) -> None:
        """While a result is not read to its end: SQLite goes on showing what was there then."""
        with self.engine.connect() as connection:
            mark = self.board.mark() if self.is_sqlite else None
            held = connection.execute(text("SELECT k FROM label"))
            held.fetchone()
            for _ in range(2):
                self._key(connection, random.randrange(KEYS), "kv", "while held", mark)
            held.close()

    def in_snapshot(self, random: Random) -> None:
        """In a transaction that goes on seeing what was there when it began."""
        level = random.choice(("REPEATABLE READ", "SERIALIZABLE"))
        with self.engine.connect() as opened:
            connection = opened
            mark = self.board.mark()
            if self.is_sqlite:
                opened.exec_driver_sql("BEGIN")
            else:
                connection = opened.execution_options(isolation_level=level)
            if random.random() < 0.5:
                connection.execute(text("SELECT 1 FROM label WHERE k = 0"))
            for _ in range(2):
                self._key(connection, random.randrange(KEYS), "kv", f"snapshot {level}", mark)
            connection.rollback()

    def own_write(self, random: Random) -> None:
        """Who has written reads its own; nobody else does, also once it is rolled back."""
        k = random.randrange(KEYS)
        with self.engine.connect() as connection:
            there = connection.execute(DIRTY, {"k": k, "n": NEVER}).rowcount
            ((found,),) = self._rows(connection, OWN, k=k)
            if there and found < NEVER:
                self.board.saw(self.board.mark(), k, None, f"own write gives {found}")
            connection.rollback()
            self._key(connection, k, "kv", "after own write")

    # Writes: each gives what it has committed.

    def write(self, random: Random, *, rarely: bool) -> bool:
        """One of them; whether it has committed anything."""
        done = self.commit(random, rarely=rarely)
        if done is not None:
            self.board.wrote(*done)
        return done is not None

    def commit(self, random: Random, *, rarely: bool) -> tuple[int, int] | None:
        """What was committed."""
        way = random.choice(self.rare if rarely else self.ways)
        with self.engine.connect() as connection:
            return way(connection, random.randrange(KEYS))

    def _end(self, connection: Connection, k: int, version: int | None) -> tuple[int, int] | None:
        if version is None:
            connection.rollback()
            return None
        connection.commit()
        return k, version

    def _ended(self, connection: Connection, k: int) -> tuple[int, int] | None:
        return self._end(connection, k, connection.execute(OWN, {"k": k}).scalar())

    def plainly(self, connection: Connection, k: int) -> tuple[int, int] | None:
        return self._end(connection, k, connection.execute(MORE, {"k": k}).scalar())

    def by_objects(self, connection: Connection, k: int) -> tuple[int, int] | None:
        with Session(connection) as session:
            session.execute(update(KV).where(KV.k == k).values(v=KV.v))
            found = session.get(KV, k)
            if found is None:
                return None
            found.v += 1
            version = found.v
            session.commit()
        connection.commit()
        return k, version

    def many(self, connection: Connection, k: int) -> tuple[int, int] | None:
        connection.execute(DIRTY, [{"k": k, "n": 1}, {"k": k, "n": 1}])
        return self._ended(connection, k)

    def by_text(self, connection: Connection, k: int) -> tuple[int, int] | None:
        connection.exec_driver_sql(f"UPDATE kv SET v = v + 1 WHERE k = {k}")
        return self._ended(connection, k)

    def by_view(self, connection: Connection, k: int) -> tuple[int, int] | None:
        connection.execute(text("UPDATE seen SET v = v + 1 WHERE k = :k"), {"k": k})
        return self._ended(connection, k)

    def by_trigger(self, connection: Connection, k: int) -> tuple[int, int] | None:
        connection.execute(text("UPDATE inbox SET n = n + 1 WHERE k = :k"), {"k": k})
        return self._ended(connection, k)

    def by_function(self, connection: Connection, k: int) -> tuple[int, int] | None:
        connection.execute(text("SELECT raise_it(:k)"), {"k": k})
        return self._ended(connection, k)

    def by_block(self, connection: Connection, k: int) -> tuple[int, int] | None:
        connection.exec_driver_sql(f"DO $$ BEGIN UPDATE kv SET v = v + 1 WHERE k = {k}; END $$")
        return self._ended(connection, k)

    def upserted(self, connection: Connection, k: int) -> tuple[int, int] | None:
        query = "INSERT INTO kv VALUES (:k, 1) ON CONFLICT (k) DO UPDATE SET v = kv.v + 1"
        connection.execute(text(query), {"k": k})
        return self._ended(connection, k)

    def anew(self, connection: Connection, k: int) -> tuple[int, int] | None:
        query = text("DELETE FROM kv WHERE k = :k RETURNING v")
        version = connection.execute(query, {"k": k}).scalar()
        if version is not None:
            version += 1
            connection.execute(insert(KV), {"k": k, "v": version})
        return self._end(connection, k, version)

    def in_vain(self, connection: Connection, k: int) -> tuple[int, int] | None:
        connection.execute(DIRTY, {"k": k, "n": NEVER})
        connection.rollback()
        return None

    def after_a_savepoint(self, connection: Connection, k: int) -> tuple[int, int] | None:
        if self.is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        with connection.begin_nested() as nested:
            connection.execute(DIRTY, {"k": k, "n": NEVER})
            nested.rollback()
        return self.plainly(connection, k)

    def at_once(self, connection: Connection, k: int) -> tuple[int, int] | None:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        version = connection.execute(MORE, {"k": k}).scalar()
        return None if version is None else (k, version)

    def cascaded(self, connection: Connection, k: int) -> tuple[int, int] | None:
        query = text("UPDATE parent SET id = id + 1 RETURNING id")
        return self._end(connection, CHILD, connection.execute(query).scalar())

    def child_in_vain(self, connection: Connection, k: int) -> tuple[int, int] | None:
        connection.execute(text("UPDATE parent SET id = id + :n"), {"n": NEVER})
        connection.rollback()
        return None

    def refilled(self, connection: Connection, k: int) -> tuple[int, int] | None:
        """All rows go, and as many come: by TRUNCATE and COPY where there are such."""
        if self.is_sqlite:
            connection.execute(text("UPDATE bulk SET v = v"))
        else:
            connection.execute(text("LOCK TABLE bulk IN ACCESS EXCLUSIVE MODE"))
        version = connection.execute(text("SELECT max(v) FROM bulk")).scalar_one() + 1
        rows = [{"k": number, "v": version} for number in range(BULK_ROWS)]
        if self.is_sqlite:
            connection.execute(text("DELETE FROM bulk"))
            connection.execute(insert(Bulk), rows)
        else:
            connection.execute(text("TRUNCATE bulk"))
            with self.database.batch(connection) as batch:
                batch.insert(Base.metadata.tables["bulk"], *rows)
        return self._end(connection, BULK, version)

    def altered(self, connection: Connection, k: int) -> tuple[int, int] | None:
        if self.is_sqlite:
            connection.execute(text("UPDATE wide SET v = v"))
        else:
            connection.execute(text("LOCK TABLE wide IN ACCESS EXCLUSIVE MODE"))
        version = connection.execute(text("SELECT v FROM wide")).scalar_one() + 1
        for statement in ALTERS[version % len(ALTERS)]:
            connection.execute(text(statement.format(next=version)))
        return self._end(connection, WIDE, version)
