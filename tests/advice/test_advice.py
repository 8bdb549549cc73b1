"""Advice on indexes, on both databases: what is proposed helps, and nothing is proposed twice."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from apsperf_mw.advice.advising import Advice, advise
from apsperf_mw.advice.planners import Plan
from apsperf_mw.advice.postgres import PostgresPlanner
from apsperf_mw.advice.sqlite import SQLitePlanner
from apsperf_mw.advice.workload import Query, of_script
from apsperf_mw.errors import AdviceError, SettingError
from tests.advice.shop import BY_EMAIL, BY_KEY, ITEMS_OF, NEWEST, ROWS, TABLES
from tests.db.postgres import Postgres

CORRELATED = """SELECT * FROM customer c WHERE c.id < 9
AND EXISTS (SELECT 1 FROM item i WHERE i.sku = 'none' || c.id)"""
WORKLOAD = [BY_EMAIL, NEWEST, BY_KEY, ITEMS_OF]


class Place:
    """One database, with an advisor for it."""

    def __init__(self, connection: Any, planner: Callable[[], Any]) -> None:
        self.connection = connection
        self.planner = planner

    def advise(self, *texts: str, **options: Any) -> Advice:
        queries = [each for text in texts for each in of_script(text)]
        return advise(self.planner(), queries, **options)

    def run(self, statement: str) -> Any:
        return self.connection.execute(statement)

    def indexes(self) -> list[Any]:
        by = (
            "SELECT indexname FROM pg_indexes"
            if self.is_postgres
            else "PRAGMA index_list(customer)"
        )
        return sorted(self.run(by).fetchall())

    @property
    def is_postgres(self) -> bool:
        return isinstance(self.connection, psycopg.Connection)


@pytest.fixture
def sqlite() -> Iterator[Place]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in (*TABLES, *ROWS["sqlite"]):
        connection.execute(statement)
    yield Place(connection, lambda: SQLitePlanner(connection))
    connection.close()


@pytest.fixture
def postgres(shop: str) -> Iterator[Place]:
    with psycopg.connect(shop, autocommit=True) as connection, psycopg.connect(shop) as other:
        before = {name for (name,) in connection.execute("SELECT indexname FROM pg_indexes")}
        yield Place(connection, lambda: PostgresPlanner(other))
        for (name,) in connection.execute("SELECT indexname FROM pg_indexes").fetchall():
            if name not in before:
                connection.execute(f"DROP INDEX {name}".encode())


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


def keys(advice: Advice) -> set[tuple[str, str]]:
    return {(each.table, each.columns[0]) for each in advice.proposals}


def test_what_the_workload_wants_is_proposed_with_the_proof(place: Place) -> None:
    advice = place.advise(*WORKLOAD)
    assert keys(advice) == {
        ("customer", "email"),
        ("purchase", "customer_id"),
        ("item", "purchase_id"),
    }
    assert advice.complete
    assert advice.statements == len(WORKLOAD)
    assert advice.after < advice.before / 5
    for proposal in advice.proposals:
        assert proposal.name in proposal.plan
        assert proposal.size_bytes > 4096
        for helped in proposal.helps:
            assert helped.after < helped.before
            assert "user77" not in helped.statement
        assert "user77" not in proposal.plan
    assert advice.proposals[0].ddl in str(advice)


def test_nothing_is_made_and_nothing_is_proposed_twice(place: Place) -> None:
    before = place.indexes()
    advice = place.advise(*WORKLOAD)
    assert place.indexes() == before
    for proposal in advice.proposals:
        place.run(proposal.ddl)
    place.run("ANALYZE")
    again = place.advise(*WORKLOAD)
    assert again.proposals == []
    assert "no index is worth it" in str(again)
    assert again.before < advice.before / 5


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("UPDATE customer SET name = 'x' WHERE email = 'user5@shop.test'", "email"),
        ("DELETE FROM item WHERE sku = 'sku17' AND price = 3", "sku"),
        ("SELECT * FROM customer WHERE lower(email) = 'user5@shop.test'", "lower(email)"),
        ("SELECT count(*) FROM item WHERE sku IN ('sku1', 'sku2')", "sku"),
        ("SELECT * FROM purchase WHERE made_at BETWEEN 10 AND 20", "made_at"),
        ("SELECT * FROM item ORDER BY price DESC, sku LIMIT 3", "price"),
        ("SELECT * FROM item WHERE price > 5 AND sku = 'sku3'", "sku"),
        ("WITH x AS (SELECT * FROM item WHERE sku = 'sku9') SELECT * FROM x", "sku"),
        ("SELECT id FROM item i WHERE i.sku = 'sku1' OR i.sku = 'sku4'", "sku"),
        (CORRELATED, "sku"),
    ],
)
def test_each_form_of_condition_is_read(place: Place, text: str, column: str) -> None:
    (proposal, *_) = place.advise(text).proposals
    assert proposal.columns[0] == column


@pytest.mark.parametrize(
    "text",
    [
        BY_KEY,
        "SELECT * FROM purchase WHERE status = 'open'",
        "SELECT * FROM customer",
        "SELECT count(*) FROM item",
        "INSERT INTO customer (id, email) VALUES (900001, 'a')",
        "SELECT * FROM customer WHERE country = 'FR'",
        "SELECT 1",
    ],
)
def test_what_is_served_already_or_cannot_be_is_left(place: Place, text: str) -> None:
    assert place.advise(text).proposals == []


def test_the_statements_that_are_sent_most_count_most(place: Place) -> None:
    often = Query(BY_EMAIL, calls=1000)
    advice = advise(place.planner(), [often, *of_script(NEWEST)], max_indexes=1)
    assert keys(advice) == {("customer", "email")}


def test_what_is_written_much_more_than_read_gets_no_index(place: Place) -> None:
    write = Query("INSERT INTO customer (id, email) VALUES (900001, 'x')", calls=10_000_000)
    assert advise(place.planner(), [Query(BY_EMAIL), write]).proposals == []


def test_an_index_that_another_serves_for_is_named(place: Place) -> None:
    (dropped,) = [each for each in place.advise(BY_EMAIL).superfluous if "does as well" in each.why]
    assert (dropped.name, dropped.table) == ("purchase_status", "purchase")
    assert "purchase_status_total does as well" in str(place.advise(BY_EMAIL))


def test_what_cannot_be_planned_is_said(place: Place) -> None:
    advice = place.advise("SELECT * FROM nowhere WHERE a = 1", "SELECT nonsense FROM customer")
    assert advice.statements == 0
    assert len(advice.unplanned) == 2
    assert "nowhere" in str(advice)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 FROM customer WHERE email = 'x'; DROP TABLE customer",
        "SELECT 1 -- it's\n; DROP TABLE customer -- it's",
        "SELECT id AS x$a$ FROM item; DROP TABLE customer; SELECT 1 AS y$a$",
        "SELECT E'a\\''; DROP TABLE customer; --'",
    ],
)
def test_what_may_be_several_statements_is_not_planned(place: Place, text: str) -> None:
    for given in (None, ("x",)):
        advice = advise(place.planner(), [Query(text, given)])
        assert advice.statements == 0
        assert len(advice.unplanned) == 1
    assert place.run("SELECT count(*) FROM customer").fetchone()[0] > 0


def test_the_time_is_kept(place: Place) -> None:
    began = time.monotonic()
    advice = place.advise(*WORKLOAD * 20, budget_s=0.05)
    assert not advice.complete
    assert "the time was over" in str(advice)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("options", [{"budget_s": 0}, {"max_indexes": -1}, {"max_indexes": "x"}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(SettingError, match=f"{next(iter(options))}: .* given; accepted"):
        advise(SQLitePlanner(connection), [], **options)
    connection.close()


class Bare(SQLitePlanner):
    """All that an index saves is the least that is worth a word."""

    def plan(self, query: Query) -> Plan:
        plan = super().plan(query)
        plan.cost = self.least_gain * (1 if plan.tries else 2)
        return plan


def test_what_is_barely_worth_it_is_chosen_once(sqlite: Place) -> None:
    advice = advise(Bare(sqlite.connection), of_script(BY_EMAIL), budget_s=5.0)
    assert advice.complete
    assert [each.columns for each in advice.proposals] == [["email"]]


def test_values_are_those_that_were_sent(sqlite: Place) -> None:
    query = Query("SELECT * FROM customer WHERE email = ?", ("user5@shop.test",))
    assert keys(advise(sqlite.planner(), [query])) == {("customer", "email")}
    unknown = advise(sqlite.planner(), [Query(query.text)])
    assert unknown.unplanned == [(query.shape, "it has places for values, and none are known")]


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("SELECT * FROM customer WHERE email = %(email)s", {"email": "user5@shop.test"}),
        ("SELECT * FROM customer WHERE email = %s", ("user5@shop.test",)),
        ("SELECT * FROM customer WHERE email = %(email)s::VARCHAR", None),
        ("SELECT * FROM customer WHERE email = $1 LIMIT $2", None),
        ("SELECT * FROM customer WHERE email LIKE 'user55%%' AND name = %s", ("x",)),
    ],
)
def test_postgres_plans_for_values_or_for_any(postgres: Place, text: str, given: Any) -> None:
    assert {each.table for each in advise(postgres.planner(), [Query(text, given)]).proposals} == {
        "customer"
    }


def test_postgres_makes_partial_and_pattern_indexes(postgres: Place) -> None:
    rare = "SELECT * FROM purchase WHERE status = 'open' AND made_at > 19000 ORDER BY made_at"
    prefix = "SELECT * FROM customer WHERE email LIKE 'user399%'"
    made = [each.ddl for each in postgres.advise(rare, prefix).proposals]
    assert any("(email varchar_pattern_ops)" in ddl or "text_pattern_ops" in ddl for ddl in made)
    assert any("made_at" in ddl for ddl in made)
    for ddl in made:
        postgres.run(ddl)
    assert postgres.advise(rare, prefix).proposals == []


def test_names_that_have_to_be_quoted_are(place: Place) -> None:
    place.run('CREATE TABLE "order" (id INTEGER PRIMARY KEY, "group" INTEGER, "two words" TEXT)')
    try:
        rows = ROWS["postgresql" if place.is_postgres else "sqlite"][0].partition("FROM ")[2]
        place.run(f"INSERT INTO \"order\" SELECT n, n % 977, 'x' FROM {rows}")
        place.run("ANALYZE")
        (proposal,) = place.advise('SELECT * FROM "order" WHERE "group" = 5').proposals
        assert 'ON "order" ("group")' in proposal.ddl
        place.run(proposal.ddl)
    finally:
        place.run('DROP TABLE "order"')


ODD = [
    ('CREATE TABLE t (id INTEGER PRIMARY KEY, "index" INT)', 'SELECT id FROM t WHERE "index" = 5'),
    ('CREATE TABLE t (id INTEGER PRIMARY KEY, "price (eur)" INT)',
     'SELECT id FROM t WHERE "price (eur)" = 5'),
    ("CREATE VIRTUAL TABLE docs USING fts5(body); CREATE TABLE t (id INTEGER PRIMARY KEY, a INT)",
     "SELECT id FROM t WHERE a = 5"),
    ("CREATE TABLE t (id INTEGER PRIMARY KEY, a INT); CREATE INDEX i ON t (id)\nwhere id > 1",
     "SELECT id FROM t WHERE a = 5"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "text"), ODD, ids=["word", "bracket", "virtual", "partial"])
def test_odd_schemas_of_sqlite_are_advised_on(schema: str, text: str) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(schema)
    series = "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 9000)"
    connection.execute(f"INSERT INTO t SELECT n, n FROM {series} SELECT n FROM s)")
    (proposal,) = advise(SQLitePlanner(connection), of_script(text)).proposals
    connection.execute(proposal.ddl)
    connection.close()


def test_an_index_of_another_order_does_not_do_as_well() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE);"
        "CREATE INDEX one ON t (a COLLATE BINARY); CREATE INDEX two ON t (a);"
    )
    text = "SELECT id FROM t WHERE a = 'x5'"
    dropped = advise(SQLitePlanner(connection), of_script(text)).superfluous
    assert [each.name for each in dropped] == ["one"]
    connection.close()


def test_postgres_takes_order_width_and_partitions_into_account(postgres: Place) -> None:
    for statement in (
        "CREATE TABLE t (id int, d int, s int) PARTITION BY RANGE (id)",
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (90000)",
        "INSERT INTO t SELECT n, n, n FROM generate_series(1, 30000) n",
        "CREATE TABLE w (id int PRIMARY KEY, v text, s int)",
        "INSERT INTO w SELECT n, repeat(md5(n::text), 40) || n, n FROM generate_series(1, 3000) n",
        "CREATE INDEX n1 ON w (s NULLS FIRST)",
        "CREATE INDEX n2 ON w (s)",
        "ANALYZE",
    ):
        postgres.run(statement)
    try:
        advice = postgres.advise(
            "SELECT s FROM t WHERE d = 5; SELECT id FROM w WHERE v = 'abc';"
            "SELECT v FROM w ORDER BY s NULLS FIRST LIMIT 3"
        )
        dropped = [each for each in advice.superfluous if each.table == "w"]
        assert not any("does as well" in each.why for each in dropped)
        assert [each.table for each in advice.proposals] == ["t"]
        postgres.run(advice.proposals[0].ddl)
    finally:
        postgres.run("DROP TABLE t, w")


def test_without_hypopg_it_says_what_is_missing(cluster: Postgres) -> None:
    with (
        psycopg.connect(cluster.conninfo) as connection,
        pytest.raises(AdviceError, match="CREATE EXTENSION hypopg"),
    ):
        PostgresPlanner(connection)


def test_a_copy_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "shop.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in (*TABLES, *ROWS["sqlite"]):
        connection.execute(statement)
    before = path.read_bytes()
    planner = SQLitePlanner(connection)
    advise(planner, of_script("DELETE FROM item WHERE sku = 'sku1'; " + BY_EMAIL))
    planner.close()
    connection.close()
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["shop.sqlite"]
