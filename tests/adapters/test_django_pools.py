"""Django's pools are sized, watched and prepared for as the suite's settings say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.support import told_by
from tests.db.conftest import cluster
from tests.db.pgbouncer import Bouncer
from tests.db.postgres import Postgres
from tests.db.test_prepared import pooler

__all__ = ["cluster"]


@pytest.fixture(scope="module")
def bouncer(cluster: Postgres) -> Iterator[Bouncer]:
    with pooler(cluster) as made:
        yield made


@pytest.fixture(scope="module")
def told(cluster: Postgres, bouncer: Bouncer) -> Any:
    return told_by(
        "tests.adapters.django_pools", DIRECT=str(cluster.port), POOLED=str(bouncer.port)
    )


def test_a_pool_is_sized_where_one_was_asked_for(told: Any) -> None:
    assert told["sizes"] == {"default": [3, 3, 0.3], "sized": [4, 5, 2], "single": []}


def test_a_setting_that_is_wrong_is_said_by_the_check(tmp_path: Path) -> None:
    code = """
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["apsperf_django"],
    APSPERF={"database": {"max_connections": 0}},
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql", "NAME": "x", "OPTIONS": {"pool": True}
        }
    },
)
import django
django.setup()
assert settings.DATABASES["default"]["OPTIONS"]["pool"] is True
from django.core.management import call_command
call_command("check")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "apsperf.E001" in done.stderr
    assert "database.max_connections" in done.stderr


def test_a_time_out_names_the_holders(told: Any) -> None:
    assert told["before"] == 0
    found = told["holding"]
    assert (found["held"], found["left"], found["idle"]) == (3, 0, 3)
    head, *holders = found["failed"].splitlines()
    assert head == "couldn't get a connection after 0.30 sec; held by:"
    assert len(holders) == 3
    for each in holders:
        assert re.match(r"  /albums/\{id\} for \d\.\d s", each)
    assert "taken at tests/adapters/django_pools.py" in holders[-1]


def test_none_that_is_taken_at_first_is_missed(told: Any) -> None:
    assert told["at once"] == 5


@pytest.mark.parametrize(
    ("alias", "prepared"),
    [("single", [0, 0]), ("binding", [1, 1]), ("own", [0, 1]), ("off", [0, 0])],
)
def test_what_the_server_binds_is_prepared(told: Any, alias: str, prepared: list[int]) -> None:
    assert told[alias] == prepared


def test_what_is_taken_from_a_pool_is_prepared(told: Any) -> None:
    assert told["binding_pool"] == 1
    assert told["prepared"]


def test_a_pooler_is_found_out(told: Any) -> None:
    assert told["behind"] == 0
    assert told["poolers"] == [
        "a pooler stands before behind: statements are not prepared (database.prepare)"
    ]
