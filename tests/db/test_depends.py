"""Through HTTP: a page is served from the cache until a table that was read for it is written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from apsperf_fastapi import install
from apsperf_flask import APSPerf
from apsperf_mw import Suite, cached
from tests.db.stage import TABLES

Ask = Callable[[str], tuple[str, Any]]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = create_engine(f"sqlite:///{tmp_path}/shop.db")
    with made.begin() as connection:
        for statement in TABLES:
            connection.exec_driver_sql(statement)
    yield made
    made.dispose()


class Pages:
    """What an app shows; `meanwhile` is called between a page's read and its end."""

    def __init__(self, engine: Engine, suite: Suite) -> None:
        self.engine = suite.database().attach(engine)
        self.suite = suite
        self.meanwhile: Callable[[], object] = lambda: None

    def rows(self, statement: str, then: str = "close") -> list[list[Any]]:
        with self.engine.connect() as connection:
            found = [list(row) for row in connection.execute(text(statement))]
            self.meanwhile()
            getattr(connection, then)()
        return found

    def artists(self) -> list[list[Any]]:
        return self.rows("SELECT name FROM artist ORDER BY id")

    def others(self) -> list[list[Any]]:
        return self.rows("SELECT name FROM other")

    def write(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.exec_driver_sql(statement)


def marked(show: Callable[[], Any], depends: str | None = "auto") -> Callable[[], Any]:
    """A view with a mark; a method has none."""

    @cached("long", depends=depends)
    def view() -> Any:
        return show()

    return view


@pytest.fixture(params=["fastapi", "flask"])
def site(request: pytest.FixtureRequest, engine: Engine) -> Iterator[tuple[Pages, Ask]]:
    client: Any
    if request.param == "fastapi":
        app = FastAPI()
        pages = Pages(engine, Suite())
        app.get("/artists")(marked(pages.artists))
        app.get("/others")(marked(pages.others))
        install(app, pages.suite)
        client = TestClient(app)
    else:
        flask = Flask(__name__)
        pages = Pages(engine, APSPerf(flask).init_app(flask))
        flask.add_url_rule("/artists", "artists", marked(pages.artists))
        flask.add_url_rule("/others", "others", marked(pages.others))
        client = flask.test_client()

    def ask(path: str) -> tuple[str, Any]:
        response = client.get(path)
        said = response.headers["cache-status"].split(";")[1].strip()
        return said, response.json() if request.param == "fastapi" else response.json

    yield pages, ask
    pages.suite.close()


def test_a_commit_makes_exactly_its_pages_void(site: tuple[Pages, Ask]) -> None:
    pages, ask = site
    for path in ("/artists", "/others"):
        assert [ask(path)[0], ask(path)[0]] == ["fwd=uri-miss", "hit"]
    pages.write("UPDATE artist SET name = 'new' WHERE id = 1")
    assert ask("/others")[0] == "hit"
    assert ask("/artists") == ("fwd=stale", [["new"], ["two"], ["three"]])
    assert ask("/artists")[0] == "hit"


def test_what_is_rolled_back_changes_no_page(site: tuple[Pages, Ask]) -> None:
    pages, ask = site
    ask("/artists")
    with pages.engine.connect() as connection:
        connection.exec_driver_sql("UPDATE artist SET name = 'never'")
        connection.rollback()
    assert ask("/artists")[1] == [["one"], ["two"], ["three"]]


def test_a_page_that_is_overtaken_is_not_kept(site: tuple[Pages, Ask]) -> None:
    pages, ask = site

    def overtake() -> None:
        pages.meanwhile = lambda: None
        writer = threading.Thread(
            target=pages.write, args=("UPDATE artist SET name = 'fast' WHERE id = 1",)
        )
        writer.start()
        writer.join()

    pages.meanwhile = overtake
    assert ask("/artists")[1][0] == ["one"]
    assert ask("/artists")[1][0] == ["fast"]


def test_a_view_that_is_not_marked_so_keeps_to_its_time(engine: Engine) -> None:
    pages = Pages(engine, Suite())
    app = FastAPI()
    app.get("/artists")(marked(pages.artists, depends=None))
    install(app, pages.suite)
    client = TestClient(app)
    client.get("/artists")
    pages.write("UPDATE artist SET name = 'new'")
    assert "hit" in client.get("/artists").headers["cache-status"]


def test_commits_make_nothing_void_where_the_settings_say_so(engine: Engine) -> None:
    suite = Suite(database={"depends": False})
    assert suite.tables is None
    pages = Pages(engine, suite)
    tick = suite.responses.tags.clock
    pages.write("UPDATE artist SET name = 'new'")
    assert suite.responses.tags.clock == tick


def test_other_processes_hear_of_it(engine: Engine, tmp_path: Path) -> None:
    """Two suites of one host and directory, as two workers have them."""
    code = {"purge_file": str(tmp_path / "purges")}
    reader, writer = (
        Pages(engine, Suite(cache=code)),
        Pages(create_engine(engine.url), Suite(cache=code)),
    )
    app = FastAPI()
    app.get("/artists")(marked(reader.artists))
    install(app, reader.suite)
    client = TestClient(app)
    assert [client.get("/artists").status_code for _ in range(2)] == [200, 200]
    # A worker of another process has another name for what it writes.
    what = reader.suite.channel
    assert what is not None
    from apsperf_mw.cache import channel

    own = channel._process
    channel._process = (own[0], "another")
    try:
        writer.write("UPDATE artist SET name = 'new' WHERE id = 1")
    finally:
        channel._process = own
    what.due = 0.0
    assert client.get("/artists").json()[0] == ["new"]
    writer.engine.dispose()
