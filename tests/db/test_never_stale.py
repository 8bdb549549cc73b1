"""Neither rows nor responses are served that a commit has made void; what it has not is kept."""

from __future__ import annotations

import gc
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any
from weakref import ref

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, text

from apsperf_mw import Suite, cached
from apsperf_mw.cache import channel as channels
from apsperf_mw.cache.channel import encoded
from apsperf_mw.cache.policy import Plan, current, rule
from apsperf_mw.cache.tags import Purge
from apsperf_mw.db.results import key_of
from apsperf_mw.errors import SettingError
from tests.db.stage import TABLES, Plain, Stage, Tasks
from tests.drivers.servers import Server, until

KINDS = ("pysqlite", "aiosqlite", "psycopg", "psycopg_async", "asyncpg")
NAMES = "SELECT name FROM artist ORDER BY id"
SHOWN = "SELECT title FROM shown ORDER BY title"
ASK: dict[str, Any] = {"apsperf_cache": "short"}


def plain_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if "sqlite" in kind:
        return f"sqlite:///{tmp_path}/shop.db"
    return str(request.getfixturevalue("postgres").url())


@pytest.fixture(params=[False, True], ids=["tables", "rows"])
def rows(request: pytest.FixtureRequest) -> bool:
    """Whether what is read by keys depends on those rows alone."""
    return bool(request.param)


@pytest.fixture(params=KINDS)
def stage(request: pytest.FixtureRequest, tmp_path: Path, rows: bool) -> Iterator[Stage]:
    kind = request.param
    url = plain_url(kind, request, tmp_path)
    bare = create_engine(url)
    with bare.begin() as connection:
        for statement in TABLES:
            connection.exec_driver_sql(statement)
    made: Stage
    suite = Suite(database={"rows": rows})
    if kind in {"pysqlite", "psycopg"}:
        made = Plain(url, suite)
    else:
        name = "psycopg" if kind == "psycopg_async" else kind
        scheme = "sqlite" if "sqlite" in kind else "postgresql"
        # What asyncpg has prepared does not outlive a change of the table.
        options = "?prepared_statement_cache_size=0" if kind == "asyncpg" else ""
        made = Tasks(f"{scheme}+{name}:{url.partition(':')[2]}{options}", suite)
    yield made
    made.dispose()
    bare.dispose()


def names(stage: Stage) -> list[str]:
    return [name for (name,) in stage.run(NAMES, then="rollback", **ASK)]


def hits(stage: Stage) -> int:
    return stage.suite.database().stats().hits


def as_another_process(run: Callable[[], object]) -> None:
    """Do as if this were a process of another name."""
    own = channels._process
    channels._process = (own[0], "another")
    try:
        run()
    finally:
        channels._process = own


def is_sqlite(stage: Stage) -> bool:
    return stage.engine.dialect.name == "sqlite"


def test_rows_come_from_the_cache(stage: Stage) -> None:
    assert [names(stage) for _ in range(3)] == [["one", "two", "three"]] * 3
    counted = stage.suite.database().stats()
    assert (counted.hits, counted.misses, counted.stores) == (2, 1, 1)
    assert sum(row.calls for row in counted.rows if "artist" in row.statement) == 1


def test_only_where_it_is_asked_for(stage: Stage) -> None:
    for _ in range(3):
        stage.run(NAMES)
        stage.run(NAMES, apsperf_cache=False)
    assert stage.suite.database().stats().hits == 0


WRITES = [
    ("UPDATE artist SET name = 'new' WHERE id = 1", ["new", "two", "three"]),
    ("DELETE FROM artist WHERE id = 3", ["one", "two"]),
    ("INSERT INTO artist VALUES (4, 'four')", ["one", "two", "three", "four"]),
]


@pytest.mark.parametrize(("write", "after"), WRITES)
def test_a_commit_makes_rows_void(stage: Stage, write: str, after: list[str]) -> None:
    names(stage)
    stage.run(write)
    assert names(stage) == after
    assert names(stage) == after
    assert hits(stage) == 1


def test_other_tables_are_left_alone(stage: Stage) -> None:
    names(stage)
    stage.run("UPDATE other SET name = 'y'")
    names(stage)
    assert hits(stage) == 1


def test_what_was_rolled_back_never_was(stage: Stage) -> None:
    names(stage)
    dirty = stage.run("UPDATE artist SET name = 'dirty'", NAMES, then="rollback", **ASK)
    assert dirty == [("dirty",)] * 3
    assert names(stage) == ["one", "two", "three"]


def test_a_transaction_sees_its_own_writes_and_nobody_else_does(stage: Stage) -> None:
    names(stage)
    assert stage.run("UPDATE artist SET name = 'own'", NAMES, **ASK) == [("own",)] * 3
    assert names(stage) == ["own"] * 3


def test_views_know_of_their_tables(stage: Stage) -> None:
    assert stage.run(SHOWN, **ASK) == [("first",), ("second",), ("third",)]
    stage.run("UPDATE album SET title = 'fourth' WHERE id = 3")
    assert stage.run(SHOWN, **ASK) == [("first",), ("fourth",), ("second",)]


def test_so_does_a_cascade(stage: Stage) -> None:
    if is_sqlite(stage):
        pragma = ["PRAGMA foreign_keys = ON"]
    else:
        pragma = []
    titles = "SELECT title FROM album ORDER BY id"
    assert len(stage.run(titles, **ASK)) == 3
    stage.run(*pragma, "DELETE FROM artist WHERE id = 1")
    assert len(stage.run(titles, **ASK)) == 2


def test_a_trigger_writes_too(stage: Stage) -> None:
    if is_sqlite(stage):
        trigger = ["CREATE TRIGGER t AFTER UPDATE ON album BEGIN UPDATE other SET name = 'by'; END"]
    else:
        trigger = [
            """CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            UPDATE other SET name = 'by'; RETURN NULL; END $$""",
            "CREATE TRIGGER t AFTER UPDATE ON album EXECUTE FUNCTION f()",
        ]
    stage.run(*trigger)
    others = "SELECT name FROM other"
    assert stage.run(others, **ASK) == stage.run(others, **ASK) == [("x",)]
    stage.run("UPDATE album SET title = 'z'")
    assert stage.run(others, **ASK) == [("by",)]


def test_a_table_that_is_altered_is_read_anew(stage: Stage) -> None:
    everything = "SELECT * FROM other"
    assert stage.run(everything, **ASK) == [(1, "x")]
    stage.run("ALTER TABLE other ADD COLUMN more INTEGER")
    assert stage.run(everything, **ASK) == [(1, "x", None)]


def test_autocommit_commits_at_once(stage: Stage) -> None:
    names(stage)
    stage.run("UPDATE artist SET name = 'at once'", then="rollback", isolation_level="AUTOCOMMIT")
    assert names(stage) == ["at once"] * 3


def test_what_a_write_returns_is_fetched_before_it_is_told(stage: Stage) -> None:
    """SQLite commits a write outside of a transaction once its rows are fetched."""
    if isinstance(stage, Tasks):
        return  # whose cursors fetch them at once
    names(stage)
    with stage.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        rows = connection.execute(text("UPDATE artist SET name = 'told' RETURNING id, name"))
        assert names(stage) == ["told"] * 3
        assert [tuple(row) for row in rows] == [(1, "told"), (2, "told"), (3, "told")]
        assert names(stage) == ["told"] * 3
    assert hits(stage) == 1


def test_so_are_the_rows_of_many_that_are_inserted(stage: Stage) -> None:
    if isinstance(stage, Tasks):
        return
    names(stage)
    artist = Table("artist", MetaData(), Column("id", Integer, primary_key=True), Column("name"))
    with stage.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        wanted = insert(artist).returning(artist.c.id, artist.c.name)
        rows = connection.execute(wanted, [{"id": n, "name": f"n{n}"} for n in range(4, 7)])
        assert len(names(stage)) == 6
        assert sorted(map(tuple, rows)) == [(4, "n4"), (5, "n5"), (6, "n6")]
    assert len(names(stage)) == 6


async def scalar(stage: Tasks, statement: Any, value: Any) -> Any:
    async with stage.engine.connect() as connection:
        return (await connection.execute(statement, {"id": value})).scalar()


def test_values_are_told_apart(stage: Stage) -> None:
    def shown(value: Any) -> Any:
        statement = text("SELECT name FROM artist WHERE id = :id").execution_options(**ASK)
        if isinstance(stage, Plain):
            with stage.engine.connect() as connection:
                return connection.execute(statement, {"id": value}).scalar()

        return stage.runner.run(scalar(stage, statement, value))

    assert [shown(1), shown(2), shown(1)] == ["one", "two", "one"]
    assert hits(stage) == 1


def test_a_wrong_option_says_what_is_accepted(stage: Stage) -> None:
    with pytest.raises(SettingError, match="apsperf_cache: 'week' given; accepted: short"):
        stage.run(NAMES, apsperf_cache="week")


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Server(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
def postgresql(postgres: Any, rows: bool) -> Iterator[Plain]:
    made = Plain(postgres.url(), Suite(database={"rows": rows}))
    for statement in TABLES:
        made.run(statement)
    yield made
    made.dispose()


@pytest.mark.timeout(30)
def test_a_table_that_the_app_has_locked_holds_nobody_up(stage: Stage) -> None:
    """The catalogue is asked on another connection, which would wait for the app itself."""
    names(stage)
    stage.run(SHOWN, **ASK)
    stage.run(
        "ALTER TABLE artist ADD COLUMN more INTEGER",
        "SELECT id FROM album",
        "UPDATE artist SET name = 'new'",
    )
    assert names(stage) == ["new"] * 3


def test_a_function_hides_a_write(postgresql: Plain) -> None:
    postgresql.run(
        "CREATE FUNCTION hidden() RETURNS void LANGUAGE sql AS"
        " $$ UPDATE artist SET name = 'hidden' $$"
    )
    names(postgresql)
    postgresql.run("SELECT hidden()")
    assert names(postgresql) == ["hidden"] * 3


def test_statements_that_end_transactions_are_heard(tmp_path: Path) -> None:
    stage = Plain(f"sqlite:///{tmp_path}/x.db", Suite())
    for statement in TABLES:
        stage.run(statement)
    names(stage)
    with stage.engine.connect() as connection:
        connection.exec_driver_sql("UPDATE artist SET name = 'told'")
        connection.exec_driver_sql("COMMIT")
        assert names(stage) == ["told"] * 3
    stage.dispose()


def test_texts_that_are_another_day_each_day_are_not_kept(postgresql: Plain) -> None:
    for day in ("'today'::date", "timestamp 'now'"):
        for _ in range(2):
            postgresql.run(f"SELECT {day} FROM artist", **ASK)
    postgresql.run("SELECT '2020-02-02'::date FROM artist", **ASK)
    assert hits(postgresql) == 0
    assert key_of({"day": "Today"}) is None


def test_an_old_snapshot_fills_nothing_and_reads_nothing(postgresql: Plain) -> None:
    repeatable = postgresql.engine.execution_options(isolation_level="REPEATABLE READ")
    with repeatable.connect() as old:
        old.execute(text("SELECT 1 FROM other"))
        postgresql.run("UPDATE artist SET name = 'new'")
        rows = old.execute(text(NAMES).execution_options(**ASK)).all()
        assert [name for (name,) in rows] == ["one", "two", "three"]
        assert names(postgresql) == ["new"] * 3
        rows = old.execute(text(NAMES).execution_options(**ASK)).all()
        assert [name for (name,) in rows] == ["one", "two", "three"]
    assert names(postgresql) == ["new"] * 3


def test_a_slow_reader_stores_nothing_old(
    postgresql: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between what it has read and its storing another commits."""
    tables = postgresql.suite.tables
    assert tables is not None
    keep = tables.results.keep

    def overtaken(*given: Any) -> None:
        monkeypatch.undo()
        postgresql.run("UPDATE artist SET name = 'late'")
        keep(*given)

    monkeypatch.setattr(tables.results, "keep", overtaken)
    assert names(postgresql) == ["one", "two", "three"]
    assert names(postgresql) == ["late"] * 3


def test_a_transaction_that_has_begun_before_dates_what_it_reads(postgresql: Plain) -> None:
    with postgresql.engine.connect() as early:
        early.execute(text("SELECT 1 FROM other"))
        postgresql.run("UPDATE artist SET name = 'late'")
        rows = early.execute(text(NAMES).execution_options(**ASK)).all()
        assert [name for (name,) in rows] == ["late"] * 3
        assert names(postgresql) == ["late"] * 3  # it may be older: read once more
    assert hits(postgresql) == 0


def test_a_session_that_is_set_otherwise_has_rows_of_its_own(postgresql: Plain) -> None:
    names(postgresql)
    postgresql.run("CREATE SCHEMA other", "CREATE TABLE other.artist (id int, name text)")
    names(postgresql)
    assert postgresql.run("SET search_path TO other", NAMES, then="rollback", **ASK) == []
    assert names(postgresql) == ["one", "two", "three"]


def test_a_temporary_table_is_its_connection_s_own(postgresql: Plain) -> None:
    names(postgresql)
    own = postgresql.run("CREATE TEMP TABLE artist (id int, name text)", NAMES, **ASK)
    assert own == []
    postgresql.engine.dispose()
    assert names(postgresql) == ["one", "two", "three"]


def test_what_moves_is_not_kept(postgresql: Plain) -> None:
    for statement in ("SELECT now()", "SELECT random() FROM artist", NAMES + " FOR UPDATE"):
        postgresql.run(statement, **ASK)
        postgresql.run(statement, **ASK)
    assert hits(postgresql) == 0


def test_what_a_reader_could_change_is_copied(postgresql: Plain) -> None:
    arrays = "SELECT ARRAY[1, 2] FROM artist WHERE id = 1"
    for _ in range(3):
        ((found,),) = postgresql.run(arrays, **ASK)
        assert found == [1, 2]
        found.append(3)
    assert hits(postgresql) == 2


def test_threads_that_want_the_same_send_it_once(postgresql: Plain) -> None:
    slow = "SELECT name FROM artist, generate_series(1, 400000) g WHERE artist.id = 1 LIMIT 1"
    slow = f"SELECT count(*) FROM ({slow.replace('LIMIT 1', '')}) q"
    threads = [
        threading.Thread(target=lambda: postgresql.run(slow, **ASK), daemon=True) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = postgresql.suite.database().stats()
    assert sum(row.calls for row in counted.rows if "generate_series" in row.statement) == 1


def test_rows_that_are_too_many_are_not_kept(tmp_path: Path) -> None:
    suite = Suite(database={"query_cache_limit": 1})
    stage = Plain(f"sqlite:///{tmp_path}/x.db", suite)
    for statement in TABLES:
        stage.run(statement)
    wide = "SELECT hex(zeroblob(1000)) FROM artist"
    for _ in range(2):
        assert len(stage.run(wide, **ASK)) == 3
    assert suite.database().stats().stores == 0
    stage.dispose()


def test_all_that_is_worth_it_is_kept_where_all_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = Suite(database={"cache_all": True})
    stage = Plain(f"sqlite:///{tmp_path}/x.db", suite)
    for statement in TABLES:
        stage.run(statement)
    monkeypatch.setattr("apsperf_mw.db.results.WORTH_S", 0.0)
    for _ in range(4):  # the first is only heard of, the second kept
        stage.run(NAMES)
    assert suite.database().stats().hits == 2
    monkeypatch.setattr("apsperf_mw.db.results.WORTH_S", 60.0)
    for _ in range(4):
        stage.run("SELECT name FROM other")
    assert suite.database().stats().hits == 2
    stage.dispose()


def test_a_response_carries_the_tables_that_were_read_for_it(stage: Stage, rows: bool) -> None:
    plan = Plan()
    token = current.set(plan)
    try:
        stage.run(SHOWN, then="rollback")
    finally:
        current.reset(token)
    named = ("album", "artist", "shown")
    some = {f"rows:{name}" for name in named} if rows else set()
    assert plan.tables == {"table:*", *(f"table:{name}" for name in named), *some}


def test_also_where_the_rows_were_there(stage: Stage) -> None:
    stage.run(SHOWN, **ASK)
    tick = stage.suite.responses.tags.clock
    stage.run("UPDATE other SET name = 'moved on'")
    plan = Plan()
    token = current.set(plan)
    try:
        stage.run(SHOWN, then="rollback", **ASK)
    finally:
        current.reset(token)
    assert hits(stage) == 1
    assert plan.tables is not None
    assert "table:album" in plan.tables
    assert plan.since <= tick


def test_a_store_that_does_not_answer_does_not_spoil_the_commit(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apsperf_mw.errors import PurgeError

    names(stage)
    told: list[tuple[str, ...]] = []
    down = True

    def purge(*tags: str) -> None:
        if down:
            raise PurgeError("down")
        told.append(tags)

    async def apurge(*tags: str) -> None:
        purge(*tags)

    tables = stage.suite.tables
    assert tables is not None
    monkeypatch.setattr("apsperf_mw.db.tables.AGAIN_S", 0.01)
    monkeypatch.setattr(tables, "_purge", purge)
    monkeypatch.setattr(tables, "_apurge", apurge)
    stage.run("UPDATE artist SET name = 'new'")
    assert names(stage) == ["new"] * 3  # what was kept before is void here at once
    down = False
    until(lambda: told != [], "the others are told")
    assert "table:artist" in told[0]


def test_depends_is_checked() -> None:
    with pytest.raises(SettingError, match="depends=...\\): 'tables' given; accepted: auto"):
        cached("long", depends="tables")
    assert rule("long", depends="auto").depends
    assert not rule("long").depends


def test_rows_are_read_where_nobody_tells_of_writes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> None:
        raise OSError("down")

    assert stage.suite.tables is not None
    names(stage)
    monkeypatch.setattr(stage.suite.tables.results, "look", look)
    assert names(stage) == ["one", "two", "three"]
    assert hits(stage) == 0


def test_a_dialect_that_is_called_by_hand_is_served(tmp_path: Path) -> None:
    stage = Plain(f"sqlite:///{tmp_path}/x.db", Suite())
    raw = stage.engine.raw_connection()
    cursor = raw.cursor()
    stage.engine.dialect.do_execute(cursor, "SELECT ?", (1,))
    stage.engine.dialect.do_execute_no_params(cursor, "SELECT 1")
    assert cursor.fetchall() == [(1,)]
    raw.close()
    stage.dispose()


@pytest.mark.parametrize("url", ["{redis}", "tiered+{redis}", "file://{directory}"])
def test_another_process_s_commit_is_heard_through_the_store(
    url: str, tmp_path: Path, redis_url: str
) -> None:
    """Two suites on one store, as two processes have them."""
    driver = url.format(redis=redis_url, directory=tmp_path / "store")
    database = f"sqlite:///{tmp_path}/x.db"
    stages = [Plain(database, Suite(default=driver)) for _ in range(2)]
    reader, writer = stages
    for statement in TABLES:
        writer.run(statement)
    for number in range(5):
        names(reader)
        names(reader)
        writer.run(f"UPDATE artist SET name = '{number}'")
        until(lambda number=number: names(reader) == [str(number)] * 3, "the commit is heard", 2.0)
    assert hits(reader) >= 9
    for each in stages:
        each.dispose()
        each.suite.close()


def test_rows_that_were_read_before_others_were_heard_are_not_kept(
    postgres: Any, tmp_path: Path
) -> None:
    """A process that has only seen snapshots has not looked at what others have purged."""
    cache = {"purge_file": str(tmp_path / "purges")}
    one, other = (Plain(postgres.url(), Suite(cache=cache)) for _ in range(2))
    for statement in TABLES:
        other.run(statement)
    repeatable = one.engine.execution_options(isolation_level="REPEATABLE READ")
    with repeatable.connect() as connection:
        connection.execute(text("SELECT 1 FROM other"))
        connection.execute(text(NAMES).execution_options(**ASK)).all()
    as_another_process(lambda: other.run("UPDATE artist SET name = 'new'"))
    assert names(one) == ["new"] * 3
    for each in (one, other):
        each.dispose()


def test_a_result_that_is_not_read_to_its_end_fills_nothing_old(tmp_path: Path) -> None:
    """In WAL mode SQLite shows a connection what it saw first until then."""
    stage = Plain(f"sqlite:///{tmp_path}/x.db", Suite())
    for statement in ("PRAGMA journal_mode = WAL", *TABLES):
        stage.run(statement)
    stage.engine.dispose()
    with stage.engine.connect() as connection:
        held = connection.execute(text("SELECT id FROM album"))
        held.fetchone()
        stage.run("UPDATE artist SET name = 'new'")
        rows = connection.execute(text(NAMES).execution_options(**ASK)).all()
        assert [name for (name,) in rows] == ["one", "two", "three"]
        assert names(stage) == ["new"] * 3
        assert len(held.all()) == 2
    assert names(stage) == ["new"] * 3
    assert hits(stage) == 1
    stage.dispose()


def test_threads_that_look_at_once_all_see_what_was_written(tmp_path: Path) -> None:
    """Whoever looks while another is at it, who may have begun before, looks itself."""
    suite = Suite(cache={"purge_file": str(tmp_path / "purges")})
    stage = Plain(f"sqlite:///{tmp_path}/x.db", suite)
    for statement in TABLES:
        stage.run(statement)
    names(stage)
    channel = suite.channel
    assert channel is not None
    read, gate, seen = channel.file.state, threading.Event(), threading.Event()

    def slow() -> Any:
        found = read()
        if threading.current_thread() is first:
            seen.set()
            gate.wait(10)
        return found

    first = threading.Thread(target=lambda: channel.look(monotonic()), daemon=True)
    channel.file.state = slow  # type: ignore[method-assign]
    first.start()
    assert seen.wait(10)
    told: list[list[str]] = []
    raw = sqlite3.connect(tmp_path / "x.db")
    raw.execute("UPDATE artist SET name = 'new'")
    raw.commit()
    raw.close()
    as_another_process(lambda: channel.file.append(encoded(Purge(("table:artist", "table:?")))))
    second = threading.Thread(target=lambda: told.append(names(stage)), daemon=True)
    second.start()
    second.join(0.2)
    gate.set()
    second.join(10)
    assert told == [["new"] * 3]
    stage.dispose()


def test_a_database_in_memory_is_that_of_its_connection() -> None:
    suite = Suite()
    engine = suite.database().attach(create_engine("sqlite://"))
    told: dict[str, list[Any]] = {}

    def run(name: str) -> None:
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE artist (id INTEGER PRIMARY KEY, name TEXT)"))
            connection.execute(text("INSERT INTO artist VALUES (1, :name)"), {"name": name})
        both.wait(10)
        for _ in range(2):
            with engine.connect() as connection:
                found = connection.execute(text(NAMES), execution_options=ASK).scalars().all()
                told.setdefault(name, []).extend(found)
        with engine.connect() as connection:
            connection.detach()  # it would outlive its thread

    both = threading.Barrier(2)
    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == {"one": ["one"] * 2, "other": ["other"] * 2}
    assert suite.database().stats().hits == 2
    engine.dispose()
    suite.close()


def test_an_engine_does_not_keep_its_suite(tmp_path: Path) -> None:
    stage = Plain(f"sqlite:///{tmp_path}/x.db", Suite())
    stage.run("CREATE TABLE a (b)")
    stage.run("SELECT * FROM a", **ASK)
    known = ref(stage.suite)
    del stage.suite
    gc.collect()
    assert known() is None
    stage.run("DELETE FROM a")
    stage.dispose()
