"""The command that gives advice, by itself and by a running app."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from apsperf_mw.cli import main
from tests.admin.support import TOKEN, serving
from tests.advice.shop import BY_EMAIL, NEWEST, ROWS, TABLES

SERVERS = {
    "asgi": "uvicorn --host=127.0.0.1 --port=0 tests.advice.site:asgi --lifespan=off",
    "wsgi": "gunicorn --bind=127.0.0.1:0 --worker-class=gthread tests.advice.site:wsgi",
}


def run(*args: str, stdin: str = "") -> Any:
    return CliRunner().invoke(main, ("advise", *args), input=stdin, catch_exceptions=False)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("advice") / "shop.sqlite"
    connection = sqlite3.connect(path)
    for statement in (*TABLES, *ROWS["sqlite"]):
        connection.execute(statement)
    connection.commit()
    connection.close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('path')}"
    found: str = request.getfixturevalue("shop")
    return found


@pytest.fixture
def script(tmp_path: Path) -> str:
    (tmp_path / "script.sql").write_text(f"{BY_EMAIL};\n{NEWEST};")
    return str(tmp_path / "script.sql")


def test_a_file_of_statements_is_advised_on(database: str, script: str) -> None:
    done = run("--database", database, "--queries", script)
    assert done.exit_code == 0, done.output
    assert "CREATE INDEX" in done.output
    assert "ON customer (email)" in done.output
    told = json.loads(run("--database", database, "--queries", script, "--json").output)
    assert {each["table"] for each in told["proposals"]} == {"customer", "purchase"}


def test_statements_come_by_the_input_too(database: str) -> None:
    done = run("--database", database, "--queries", "-", "--max-indexes", "1", stdin=BY_EMAIL)
    assert "with 1 more indexes" in done.output


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "--server, --database: neither is given"),
        (("--database", "sqlite:///x"), "--queries, --statistics: one of them is needed"),
        (("--database", "mysql://x/y", "--queries", "-"), "database: 'mysql' given; accepted"),
        (
            ("--database", "shop.sqlite", "--queries", "-"),
            "database: 'shop.sqlite' given; accepted",
        ),
        (("--database", "sqlite:////no/such", "--queries", "-"), "/no/such: unable to open"),
        (("--database", "sqlite:///x", "--queries", "/no/such"), "--queries: /no/such: "),
        (("--database", "postgresql://127.0.0.1:1/x", "--queries", "-"), "onnection refused"),
        (("--database", "postgresql://127.0.0.1:1/x", "--statistics"), "onnection refused"),
        (("--database", "postgresql+psycopg://127.0.0.1:1/x", "--statistics"), "onnection refused"),
        (
            ("--database", "sqlite:///x", "--statistics"),
            "'sqlite' given; accepted: postgresql's url",
        ),
        (("--server", "http://127.0.0.1:1", "--token", "x"), "refused"),
    ],
)
def test_what_is_missing_is_said(args: tuple[str, ...], said: str) -> None:
    done = run(*args)
    assert done.exit_code == 2, done.output
    assert said.lower() in done.output.lower()


def test_a_server_that_does_not_count_says_so(shop: str) -> None:
    done = run("--database", shop, "--statistics")
    assert done.exit_code == 2
    assert "pg_stat_statements" in done.output


def test_what_a_server_has_counted_is_advised_on(shop: str) -> None:
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA counted")
        try:
            connection.execute(
                """CREATE TABLE counted.pg_stat_statements AS SELECT d.oid AS dbid,
                'SELECT * FROM customer WHERE email = $1' AS query, 9 AS calls,
                1.5 AS total_exec_time FROM pg_database d WHERE datname = current_database()"""
            )
            found = f"{shop}?options=-csearch_path%3Dpublic,counted"
            done = run("--database", found, "--statistics", "--json")
            told = json.loads(done.output)
            assert told["proposals"][0]["helps"][0]["calls"] == 9
        finally:
            connection.execute("DROP SCHEMA counted CASCADE")


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest, path: Path, tmp_path: Path) -> Iterator[str]:
    on = {"APSPERF_ADMIN__ENABLED": "true", "APSPERF_ADMIN__TOKEN": TOKEN, "SHOP": str(path)}
    with serving(SERVERS[request.param], tmp_path, **on) as port:
        yield f"http://127.0.0.1:{port}"


def test_a_running_app_advises_on_what_it_has_sent(server: str) -> None:
    done = run("--server", server, "--token", TOKEN)
    assert done.exit_code == 0, done.output
    assert "CREATE INDEX ix_customer_email ON customer (email)" in done.output
    assert "a@b" not in done.output
    unknown = run("--server", server, "--token", TOKEN, "--engine", "nowhere")
    assert unknown.exit_code == 2
    assert "accepted: one that is attached, of sqlite/shop.sqlite" in unknown.output
    wrong = run("--server", server, "--token", TOKEN, "--budget", "-1")
    assert wrong.exit_code == 2
    assert "accepted: engine, budget_s" in wrong.output
