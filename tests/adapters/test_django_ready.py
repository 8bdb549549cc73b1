"""A `get` whose row is not kept sends what was compiled before, and gives what Django gives."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.adapters.support import told_by
from tests.db.conftest import cluster
from tests.db.postgres import Postgres

__all__ = ["cluster"]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def told(request: pytest.FixtureRequest, cluster: Postgres) -> Iterator[Any]:
    if request.param == "sqlite":
        yield told_by("tests.adapters.django_ready") | {"system": request.param}
        return
    with psycopg.connect(cluster.conninfo, autocommit=True) as connection:
        connection.execute("CREATE DATABASE music")
        try:
            told = told_by("tests.adapters.django_ready", MUSIC=str(cluster.port))
        finally:
            connection.execute("DROP DATABASE music WITH (FORCE)")
    yield told | {"system": request.param}


def test_a_query_is_compiled_once_until_settings_change(told: Any) -> None:
    assert told["sent_again"] == [1, 0, 0, 1, 0, 1, 0]


def test_what_is_given_and_sent_is_what_django_gives_and_sends(told: Any) -> None:
    for name, cases in told["as_django"].items():
        for number, (ours, django) in enumerate(cases):
            assert ours == django, (name, number)


def test_comparisons_of_a_projects_own_are_heeded(told: Any) -> None:
    assert told["own_lookup"] == ["one", "two", None, "two", "two", None, "two"]


def test_whoever_stands_in_for_a_part_of_django_is_asked(told: Any) -> None:
    asked = told["patched"]
    if told["system"] == "postgresql":
        del asked["apply_converters"]  # nothing needs one
    assert set(asked.values()) == {True}


def test_query_sets_that_fetch_otherwise_are_asked_each_time(told: Any) -> None:
    assert told["loud"] == ["LOUD"] * 4


def test_signals_are_sent_for_each_object(told: Any) -> None:
    assert told["signalled"] == [1, 2, 3]


def test_what_a_transaction_writes_is_its_own_until_it_is_committed(told: Any) -> None:
    both = ["owner", "not committed", "not committed", "owner", 1, "committed", 1]
    assert told["in_a_block"] == both


def test_objects_that_somebody_can_change_are_each_readers_own(told: Any) -> None:
    assert told["changeable"] == [[["one", "changed"], ["one"]]] * 2


def test_faults_are_djangos_own(told: Any) -> None:
    gone = "OperationalError" if told["system"] == "sqlite" else "ProgrammingError"
    assert told["broken"] == ["one", "TransactionManagementError", gone]


def test_a_connection_keeps_so_many_and_those_of_no_other(told: Any) -> None:
    assert told["bounded"] <= 3
    assert told["of_each_connection"] == [True] * 4


def test_query_sets_that_were_told_something_do_it(told: Any) -> None:
    for number, (first, second, django) in enumerate(told["told_otherwise"]):
        assert [first, second] == [django] * 2, number


def test_an_altered_session_reads_nothing_that_is_kept(told: Any) -> None:
    assert told["altered"] == [0, 1, 0, 0, 1]


def test_a_manager_marks_a_query_set_that_nobody_else_has(told: Any) -> None:
    fresh, shared, counted = [7, "long", True, False, None], [7, None], [7, 1]
    assert told["of_managers"] == [*fresh, *shared, *counted, "TypeError", "TypeError"]


def test_a_connection_is_the_one_that_django_finds(told: Any) -> None:
    assert told["same_connections"] == [True, True, "ConnectionDoesNotExist"]


def test_a_model_that_comes_to_make_its_objects_itself_is_asked(told: Any) -> None:
    assert told["made_late"] == 1


BEFORE_US = """
import functools
from django.conf import settings
from django.db.models import lookups
from django.db.models.sql.compiler import SQLCompiler

def own(self, *more, **named):
    return plain(self, *more, **named)

if "early" in {where!r}:
    kind, name = {place}
    plain = getattr(kind, name)
    setattr(kind, name, functools.wraps(plain)(own))
settings.configure(INSTALLED_APPS=["apsperf_django"], DATABASES={{"default": {{}}}})
import django
django.setup()
from apsperf_django.ready import is_own
assert is_own() is ("late" in {where!r})
if "late" in {where!r}:
    kind, name = {place}
    plain = getattr(kind, name, None)
    setattr(kind, name, own)
assert not is_own()
"""


@pytest.mark.parametrize("where", ["early", "late"])
@pytest.mark.parametrize("place", ['SQLCompiler, "as_sql"', 'SQLCompiler, "execute_sql"'])
def test_who_was_there_before_us_is_asked_each_time(where: str, place: str) -> None:
    run_alone(BEFORE_US.format(where=where, place=place))


def test_a_comparison_for_one_database_that_comes_late_is_heeded() -> None:
    run_alone(BEFORE_US.format(where="late", place='lookups.Exact, "as_sqlite"'))


def run_alone(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
