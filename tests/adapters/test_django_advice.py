"""Django's statements are advised on, and advice becomes a migration."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.support import told_by
from tests.advice.conftest import cluster, shop

__all__ = ["cluster", "shop"]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def told(request: pytest.FixtureRequest) -> Any:
    if request.param == "sqlite":
        return told_by("tests.adapters.django_advice")
    url: str = request.getfixturevalue("shop")
    return told_by("tests.adapters.django_advice", LIBRARY=url.rpartition(":")[2].partition("/")[0])


def test_what_the_mapper_has_sent_is_advised_on(told: Any) -> None:
    first = {each["columns"][0].lower() for each in told["own"]["proposals"]}
    assert first == {"email", "town"}
    assert all(each["helps"][0]["calls"] == 3 for each in told["own"]["proposals"])


def test_plans_of_slow_statements_are_told(told: Any) -> None:
    assert any("library_reader" in line for line in told["plans"])
    assert not any("library.test" in line for line in told["plans"])


def test_a_command_reads_statements_from_a_file(told: Any) -> None:
    assert told["none"] == "error: one of --server, --queries and --statistics is needed"
    assert "nowhere" in told["app"]
    assert len(told["json"]["proposals"]) == 2


def test_advice_becomes_a_migration(told: Any) -> None:
    assert "add to Meta.indexes" in told["written"]
    assert "models.Index(" in told["written"]
    assert "Lower" in told["file"]
    assert "'city'" in told["file"]
    assert ("AddIndexConcurrently" in told["file"]) == ("atomic = False" in told["file"])
    assert "OK" in told["migrated"]
    assert len([name for name in told["indexes"] if name.startswith("ix_")]) == 2
    assert "no index is worth it" in told["again"]


def test_statistics_that_are_not_there_are_missed(told: Any) -> None:
    if "statistics" in told:
        assert "pg_stat_statements" in told["statistics"]
