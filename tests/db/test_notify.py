"""PostgreSQL itself tells of commits, also of a process that dies before it could."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url, text

from apsperf_mw import Database, SettingError
from apsperf_mw.db.engines import conninfo_of
from apsperf_mw.db.facts import ANY
from apsperf_mw.db.notifying import MOST_BYTES, own, payload
from tests.adapters.support import told_by
from tests.db.postgres import Postgres

ROOT = Path(__file__).resolve().parents[2]
ASKED = text("SELECT name FROM artist WHERE id = 1").execution_options(apsperf_cache="long")
SOON_S = 10.0


@pytest.fixture
def url(postgres: Postgres) -> str:
    with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
        connection.execute("CREATE TABLE artist (id INTEGER PRIMARY KEY, name TEXT)")
        connection.execute("INSERT INTO artist VALUES (1, 'one')")
    return postgres.url()


class Reader:
    """This process, which keeps rows."""

    def __init__(self, url: str, *, notify: bool) -> None:
        self.database = Database(notify=notify)
        self.engine = self.database.create_engine(url)

    def name(self) -> str:
        with self.engine.connect() as connection:
            return str(connection.execute(ASKED).scalar_one())

    def keep(self) -> None:
        """Have the row kept, once the ear is there: it voids what was kept before."""
        until(lambda: not self.database.suite.settings.database.notify or self.listens())
        before = self.database.stats().hits
        until(lambda: self.name() == "one" and self.database.stats().hits > before)

    def listens(self) -> bool:
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
            return bool(connection.execute(text(asked)).scalar())

    def close(self) -> None:
        self.engine.dispose()
        self.database.close()


@pytest.fixture
def make(url: str) -> Iterator[Callable[..., Reader]]:
    made: list[Reader] = []

    def make(*, notify: bool = True) -> Reader:
        made.append(Reader(url, notify=notify))
        return made[-1]

    yield make
    for each in made:
        each.close()


def until(happens: Callable[[], object], within_s: float = SOON_S) -> None:
    end = time.monotonic() + within_s
    while not happens():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def commit_and_die(url: str, how: str = "commit", *, notify: bool = True) -> int:
    command = [sys.executable, "-m", "tests.db.committer", url, "1" if notify else "0", how]
    return subprocess.run(command, cwd=ROOT, env={**os.environ}, check=False).returncode


@pytest.mark.parametrize("how", ["commit", "autocommit"])
def test_a_commit_is_heard_of_though_its_process_dies(
    make: Callable[..., Reader], url: str, how: str
) -> None:
    reader = make()
    reader.keep()
    assert commit_and_die(url, how) == -signal.SIGKILL
    until(lambda: reader.name() == "two")


def test_without_it_the_lifetime_is_the_back_stop(make: Callable[..., Reader], url: str) -> None:
    reader = make(notify=False)
    reader.keep()
    assert commit_and_die(url, notify=False) == -signal.SIGKILL
    time.sleep(0.3)
    assert reader.name() == "one"


def test_what_is_rolled_back_is_not_told(make: Callable[..., Reader], url: str) -> None:
    reader = make()
    reader.keep()
    commit_and_die(url, "rollback")
    hits = reader.database.stats().hits
    time.sleep(0.3)
    assert reader.name() == "one"
    assert reader.database.stats().hits == hits + 1


def test_an_ear_that_is_cut_off_comes_back_and_forgets(
    make: Callable[..., Reader], url: str, postgres: Postgres
) -> None:
    reader = make()
    reader.keep()
    with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        )
        connection.execute("UPDATE artist SET name = 'past' WHERE id = 1")  # nobody tells of it
    until(lambda: reader.name() == "past")


def test_nothing_that_is_kept_is_given_while_nobody_listens(
    make: Callable[..., Reader], monkeypatch: pytest.MonkeyPatch, postgres: Postgres
) -> None:
    reader = make()
    reader.keep()
    monkeypatch.setattr("apsperf_mw.db.notifying.AGAIN_S", 1.5)
    with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        )
        (ear,) = reader.database.suite.tables.notifiers  # type: ignore[union-attr]
        until(lambda: not ear.hears())
        assert reader.name() == "one"
        connection.execute("UPDATE artist SET name = 'unheard' WHERE id = 1")
        assert reader.name() == "unheard"
    until(ear.hears)


def test_a_database_that_restarts_is_heard_again(
    make: Callable[..., Reader], url: str, postgres: Postgres
) -> None:
    reader = make()
    reader.keep()
    postgres.end()
    postgres.start()
    reader.engine.dispose()
    assert commit_and_die(url) == -signal.SIGKILL
    until(lambda: reader.name() == "two", within_s=20.0)


def test_ones_own_commits_are_not_heard_twice(make: Callable[..., Reader]) -> None:
    reader = make()
    reader.keep()
    with reader.engine.begin() as connection:
        connection.execute(text("UPDATE artist SET name = 'own' WHERE id = 1"))
    assert reader.name() == "own"
    hits = reader.database.stats().hits
    time.sleep(0.3)
    assert reader.name() == "own"
    assert reader.database.stats().hits == hits + 1


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg_async"])
def test_async_engines_tell_too(
    make: Callable[..., Reader], postgres: Postgres, driver: str
) -> None:
    reader = make()
    reader.keep()
    heard: list[str] = []

    async def main() -> None:
        with Database(notify=True) as database:
            engine = database.create_async_engine(postgres.url(driver))
            async with engine.begin() as connection:
                await connection.execute(text("UPDATE artist SET name = 'async' WHERE id = 1"))
            await engine.dispose()

    with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
        connection.execute("LISTEN apsperf_tables")
        asyncio.run(main())
        heard += [note.payload for note in connection.notifies(timeout=5.0, stop_after=1)]
    assert heard[0].split(" ")[0] == own()
    assert "table:artist" in heard[0].split(" ")


def test_a_transaction_that_has_failed_ends_as_ever(make: Callable[..., Reader]) -> None:
    reader = make()
    with reader.engine.connect() as connection:
        connection.execute(text("UPDATE artist SET name = 'failed' WHERE id = 1"))
        with pytest.raises(Exception, match="nowhere"):
            connection.execute(text("SELECT * FROM nowhere"))
        connection.commit()
    assert reader.name() == "one"


def test_tables_of_any_name_and_number_are_told() -> None:
    assert payload(["table:a'b"]) == f"{own()} table:a''b"
    assert payload(["table:a b"]) == payload(["table:a\\b"]) == f"{own()} {ANY}"
    many = payload([f"table:{number}" for number in range(5000)])
    assert many == f"{own()} {ANY}"
    assert len(payload([f"table:{'x' * 60}{n}" for n in range(90)]).encode()) <= MOST_BYTES


def test_what_listens_reaches_the_database_as_the_engine_does() -> None:
    given = make_url("postgresql+asyncpg://me:secret@/shop?host=b:1&host=c&ssl=x&sslmode=require")
    known = conninfo_to_dict(conninfo_of(given))
    assert known == {
        "user": "me",
        "password": "secret",
        "dbname": "shop",
        "host": "b,c",
        "port": "1,",
        "sslmode": "require",
    }


def test_it_needs_a_driver(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with Database(notify=True) as database:
        tables: Any = database.suite.tables
        with pytest.raises(SettingError, match="notify: true needs psycopg"):
            tables.notifier(url)


def test_djangos_commits_are_told(cluster: Postgres) -> None:
    with psycopg.connect(cluster.conninfo, autocommit=True) as connection:
        connection.execute("CREATE DATABASE music")
        listening = psycopg.connect(
            cluster.conninfo.replace("dbname=postgres", "dbname=music"), autocommit=True
        )
        try:
            listening.execute("LISTEN apsperf_tables")
            told = told_by(
                "tests.adapters.django_rows",
                MUSIC=str(cluster.port),
                APSPERF_DATABASE__NOTIFY="true",
            )
            heard = [note.payload for note in listening.notifies(timeout=1.0)]
        finally:
            listening.close()
            connection.execute("DROP DATABASE music WITH (FORCE)")
    assert any("table:music_artist" in each for each in heard)
    assert told["more"]["cut_off"] == "OperationalError"
    for write in ("save", "raw", "savepoint"):
        assert all(seen["given"] == seen["true"] for seen in told[write].values())
    assert told["more"]["storm"]["stale"] == 0
