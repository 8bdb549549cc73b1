from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peers import BARE, DATABASES, HEADS
from benchmarks.peers_arms import DJANGO, SQLALCHEMY

ROOT = Path(__file__).resolve().parents[2]
ARMS = {"django": DJANGO, "sqlalchemy": SQLALCHEMY}
OURS = {"django": "apsperf-mw", "sqlalchemy": "apsperf-mw, kept"}


@pytest.mark.parametrize("kind", ["django", "sqlalchemy"])
def test_each_arm_has_its_figures_or_says_why_not(kind: str) -> None:
    command = [sys.executable, "-m", "benchmarks.peers", "--rounds", "2", "--only", kind]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    head, _, *lines = done.stdout.splitlines()
    assert head.split() == " ".join(HEADS[kind]).split()
    rows = [re.split(r"\s{2,}", each) for each in lines if each.startswith(("sqlite", "postgres"))]
    refused = {line.partition(": ")[0] for line in lines if not line.startswith(DATABASES)}
    assert {row[1] for row in rows} | refused == ARMS[kind].keys()
    took = {tuple(row[:2]): float(row[2]) for row in rows}
    for database in DATABASES:
        assert took[database, BARE] > 0
    assert took["postgresql", OURS[kind]] < took["postgresql", BARE]
