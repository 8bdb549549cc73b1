"""Advice on a database that is reached through a door, or by its URL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from apsperf_mw.advice.workload import Query
from apsperf_mw.errors import AdviceError, SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apsperf_mw.advice.advising import Advice
    from apsperf_mw.db.doors import Door
    from apsperf_mw.observe.statements import Recorder

    Advise = Callable[..., Advice]
    Prepare = Callable[[sqlite3.Connection], object]

MISSING = "advice needs sqlglot: pip install 'apsperf-mw[sql]'"
COUNTED = """
SELECT query, sum(calls)::bigint, sum(total_exec_time) / 1000
FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
WHERE d.datname = current_database() GROUP BY query ORDER BY 3 DESC LIMIT 500"""
POSTGRES = frozenset({"postgresql", "postgres"})
ACCEPTED = "a URL as postgresql://user@host/database or sqlite:///path/to/file"


def workload_of(recorder: Recorder, door: Door) -> list[Query]:
    """What a recorder has noted."""
    return [
        Query(door.plain(sample.text), sample.given, shape.calls, shape.total_s)
        for sample, shape in recorder.workload()
    ]


def advise_through(door: Door, queries: Sequence[Query], **options: Any) -> Advice:
    """Advice on the database behind the door. `AdviceError` for one of another kind."""
    advise: Advise = _advise()
    if door.system == "postgresql":
        from apsperf_mw.advice.postgres import PostgresPlanner

        return door.through(
            lambda connection: advise(PostgresPlanner(connection), queries, **options)
        )
    if door.system == "sqlite":
        return door.copied(lambda source: _on_copy(source, advise, queries, options, door.prepare))
    raise AdviceError(f"{door.system}: no advice for it; accepted: PostgreSQL and SQLite")


def advise_at(url: str, queries: Sequence[Query], **options: Any) -> Advice:
    """Advice on the database at a URL. `SettingError` for one that is not understood."""
    advise = _advise()
    parts = urlsplit(url)
    kind = parts.scheme.partition("+")[0]
    if kind in POSTGRES:
        return _at_postgres(advise, url, queries, options)
    if kind == "sqlite" and parts.path.strip("/"):
        return _at_sqlite(advise, parts.path[1:], queries, options)
    raise SettingError(f"database: {kind or url!r} given; accepted: {ACCEPTED}")


def _at_postgres(advise: Advise, url: str, queries: Sequence[Query], options: Any) -> Advice:
    from apsperf_mw.advice.postgres import PostgresPlanner

    with _connected(url) as connection:
        return advise(PostgresPlanner(connection), queries, **options)


def _at_sqlite(advise: Advise, path: str, queries: Sequence[Query], options: Any) -> Advice:
    try:
        source = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)
        with closing(source):
            return _on_copy(source, advise, queries, options)
    except sqlite3.Error as fault:
        raise AdviceError(f"database: {path}: {fault}") from None


def _on_copy(
    source: sqlite3.Connection,
    advise: Advise,
    queries: Sequence[Query],
    options: Any,
    prepare: Prepare | None = None,
) -> Advice:
    from apsperf_mw.advice.sqlite import SQLitePlanner

    planner = SQLitePlanner(source, prepare)
    try:
        return advise(planner, queries, **options)
    finally:
        planner.close()


def statistics_of(url: str) -> list[Query]:
    """The workload that a PostgreSQL server has counted itself. `AdviceError` where it has none."""
    with _connected(url) as connection:
        return counted(connection)


def _connected(url: str) -> Any:
    """A connection to PostgreSQL. `AdviceError` where there is none to be had."""
    parts = urlsplit(url)
    if parts.scheme.partition("+")[0] not in POSTGRES:
        raise SettingError(f"database: {parts.scheme or url!r} given; accepted: PostgreSQL's URL")
    try:
        import psycopg
    except ImportError:
        raise AdviceError("psycopg is not installed: pip install 'psycopg[binary]'") from None
    try:
        return psycopg.connect(parts._replace(scheme="postgresql").geturl())
    except psycopg.Error as fault:
        raise AdviceError(f"database: {fault}") from None


def counted(connection: Any) -> list[Query]:
    """As `statistics_of`, by a driver's connection."""
    cursor = connection.cursor()
    try:
        cursor.execute(COUNTED)
        rows = cursor.fetchall()
    except Exception as fault:
        why = str(fault).splitlines()[0]
        raise AdviceError(f"pg_stat_statements: {why}; give the statements in a file") from None
    finally:
        cursor.close()
    return [Query(text, None, calls, float(total_s)) for text, calls, total_s in rows]


def _advise() -> Advise:
    try:
        from apsperf_mw.advice.advising import advise
    except ImportError:
        raise AdviceError(MISSING) from None
    return advise
