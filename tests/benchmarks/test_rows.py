from __future__ import annotations

import pytest

from benchmarks.rows import HEAD, main


def test_both_databases_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rounds", "1"]) == 0
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == " ".join(HEAD).split()
    assert [row.partition("  ")[0] for row in rows] == ["SQLite in memory", "PostgreSQL, psycopg"]
    assert all(float(row.split()[-2]) > 0 for row in rows)
