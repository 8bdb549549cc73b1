"""Pages that are made of tables, on a real server: none is stale, whoever writes."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.db.storm.cell import Outcome
from tests.db.storm.pages import HEARD_S, Site
from tests.db.test_storm import Grounds, cell_of, fine, grounds, table

__all__ = ["grounds", "table"]

N = int(os.environ.get("N") or 0)
# Requests of one cell.
REQUESTS = 2 * N or 400
CELLS = [(system, workers) for system in ("sqlite", "postgresql") for workers in (1, 2)]


def outcome_of(
    grounds: Grounds, system: str, workers: int, *, operations: int, deaf: bool = False
) -> Outcome:
    cell = cell_of(grounds, "alchemy", system, 1, "")
    cell.name = f"pages, {system}, {workers} x {cell.threads}"
    cell.processes, cell.operations, cell.deaf = workers, operations, deaf
    cell.bound_s = 0.0 if workers == 1 else HEARD_S
    return Site(cell, grounds.directory).outcome()


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("system", "workers"), CELLS if N else CELLS[:1])
def test_no_page_is_stale(grounds: Grounds, table: Any, system: str, workers: int) -> None:
    outcome = outcome_of(grounds, system, workers, operations=REQUESTS)
    table(outcome)
    fine(outcome)


def test_it_would_be_seen(grounds: Grounds) -> None:
    """Where commits make nothing void."""
    outcome = outcome_of(grounds, "sqlite", 1, operations=320, deaf=True)
    assert any(each.startswith("/") for each in outcome.tally.told)
