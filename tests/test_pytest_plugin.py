"""The pytest plugin, in test suites of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.adapters.support import ROOT, environ

if TYPE_CHECKING:
    from pathlib import Path

APP = """
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from apsperf_fastapi import cached, install

def create(suite):
    app, calls = FastAPI(), []
    install(app, suite)

    @app.get("/page/{number}")
    @cached(60, stale_while_revalidate=0)
    def page(number: int):
        calls.append(number)
        with suite.statement("SELECT * FROM pages WHERE id = 5", "sqlite"):
            pass
        return len(calls)

    return TestClient(app)
"""

TESTS = {
    "isolated": """
@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_a_cache_of_its_own(apsperf_suite, turn):
    client = create(apsperf_suite)
    assert [client.get("/page/1").json() for _ in range(2)] == [1, 1]
""",
    "clock": """
def test_time_is_moved(apsperf_suite, apsperf_clock):
    client = create(apsperf_suite)
    client.get("/page/1")
    apsperf_clock.move(50)
    reply = client.get("/page/1")
    assert 50 <= int(reply.headers["age"]) <= 52
    apsperf_clock.move(20)
    assert client.get("/page/1").json() == 2
    assert apsperf_suite.flush(10)

def test_and_goes_on_by_itself_afterwards(apsperf_suite):
    import apsperf_mw.asgi, time
    assert apsperf_mw.asgi.monotonic is time.monotonic
    client = create(apsperf_suite)
    client.get("/page/1")
    assert client.get("/page/1").headers["age"] == "0"

def test_data_ages_too(apsperf_suite, apsperf_clock):
    cache = apsperf_suite.cache()
    cache.set("a", 1, 60)
    apsperf_clock.move(59)
    assert cache.get("a") == 1
    apsperf_clock.move(2)
    assert cache.get("a") is None

def test_it_does_not_go_back(apsperf_clock):
    with pytest.raises(ValueError, match="accepted: seconds from 0"):
        apsperf_clock.move(-1)
""",
    "captured": """
def test_what_is_exported_is_seen(apsperf_suite, apsperf_captured):
    client = create(apsperf_suite)
    for _ in range(3):
        client.get("/page/1")
    assert len(apsperf_captured.spans("GET /page/{number}")) == 3
    assert len(apsperf_captured.spans()) == 4  # one statement
    assert apsperf_captured.total("http.server.request.duration", http__route="/page/{number}") == 3
    assert apsperf_captured.total("apsperf.cache.requests", apsperf__cache__result="hit") == 2
    assert apsperf_captured.points("nosuch") == []

def test_a_suite_that_exports_elsewhere_is_named():
    from apsperf_mw import Suite
    from apsperf_pytest.captured import Captured
    with pytest.raises(ValueError, match="exporter.kind: 'none' given; accepted here: memory"):
        Captured(Suite(exporter={"kind": "none"}))
""",
    "marker": """
from apsperf_mw import Suite
kept = Suite(cache={"purge_file": "none"})
client = create(kept)

def ask():
    return [client.get("/page/1").json() for _ in range(2)]

def test_before():
    assert ask() == [1, 1]

@pytest.mark.apsperf_no_cache
def test_without(apsperf_suite):
    assert ask() == [2, 3]
    assert "cache-status" not in client.get("/page/1").headers
    assert create(apsperf_suite).get("/page/1").json() == 1
    assert not apsperf_suite.settings.cache.enabled
    assert not Suite().settings.cache.enabled

def test_after():
    assert ask() == [1, 1]
    assert Suite().settings.cache.enabled

def test_emptied(apsperf_isolated):
    assert ask() == [5, 5]
""",
    "queries": """
def test_few_are_well(apsperf_suite, assert_max_queries):
    client = create(apsperf_suite)
    with assert_max_queries(1) as queries:
        client.get("/page/1")
        client.get("/page/1")
    assert len(queries) == 1

def test_many_are_listed_by_shape(apsperf_suite, assert_max_queries):
    client = create(apsperf_suite)
    with pytest.raises(AssertionError, match=r"3 queries, 2 at most") as failed:
        with assert_max_queries(2):
            for number in range(3):
                client.get(f"/page/{number}")
    assert "3 x SELECT * FROM pages WHERE id = ?" in str(failed.value)

def test_what_fails_inside_comes_through(assert_max_queries):
    with pytest.raises(KeyError):
        with assert_max_queries(0):
            raise KeyError("x")

def test_sqlalchemy_is_heard(assert_max_queries):
    from sqlalchemy import create_engine, text
    engine = create_engine("sqlite://")
    with assert_max_queries(2) as queries, engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        connection.execute(text("SELECT 2"))
    assert queries.shapes == {"SELECT ?": 2}
    with engine.connect() as connection:
        connection.execute(text("SELECT 3"))
    assert len(queries) == 2
    engine.dispose()

def test_django_is_heard_in_every_thread(assert_max_queries, tmp_path):
    import django
    from django.conf import settings
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "site.sqlite"}
    settings.configure(DATABASES={"default": sqlite})
    django.setup()
    from threading import Thread
    from django.db import connection
    def ask():
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s", [1])
        connection.close()
    with assert_max_queries(2) as queries:
        thread = Thread(target=ask)
        thread.start()
        thread.join()
        ask()
    assert queries.shapes == {"SELECT ?": 2}
""",
}  # fmt: skip


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=tmp_path,
        env=environ() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", TESTS)
def test_the_plugin(tmp_path: Path, name: str) -> None:
    (tmp_path / "test_it.py").write_text(APP + TESTS[name])
    warns = ("-W", "error", "-W", "ignore:The anyio:DeprecationWarning")
    done = run(tmp_path, *warns, "--strict-markers", "test_it.py")
    assert done.returncode == 0, done.stdout


def test_a_suite_of_tests_that_does_not_use_it_loads_nothing_of_ours(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_it():\n"
        "    ours = {name for name in sys.modules if name.startswith('apsperf')}\n"
        "    assert ours == {'apsperf_pytest'}\n"
        "    assert 'starlette' not in sys.modules\n"
    )
    done = run(tmp_path, "test_it.py")
    assert done.returncode == 0, done.stdout


DJANGO = """
import pytest
from django.test import Client

def test_it_is_off(client):
    pass

@pytest.mark.apsperf_no_cache
def test_without():
    assert [Client().get("/").content for _ in range(2)] == [b"1", b"2"]

def test_with():
    assert [Client().get("/").content for _ in range(2)] == [b"3", b"3"]
"""
SITE = """
import django
from django.conf import settings
settings.configure(
    ROOT_URLCONF="conftest", INSTALLED_APPS=["apsperf_django"], ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["apsperf_django.middleware.SuiteMiddleware"],
)
django.setup()
from django.http import HttpResponse
from django.urls import path
from apsperf_django import cached
calls = []

@cached("short")
def page(request):
    calls.append(1)
    return HttpResponse(str(len(calls)).encode())

urlpatterns = [path("", page)]
"""


def test_the_marker_counts_in_a_django_project(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(SITE)
    (tmp_path / "test_it.py").write_text(DJANGO.replace("(client)", "()"))
    done = run(tmp_path, "test_it.py")
    assert done.returncode == 0, done.stdout
