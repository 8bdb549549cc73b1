"""The benchmark of prepared statements runs, and tells of all three."""

from __future__ import annotations

import pytest

from benchmarks.prepared import BARE, HEAD, NEVER, OURS, main


def test_it_tells_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rounds", "2", "--reads", "10"]) == 0
    told = capsys.readouterr().out
    assert all(each in told for each in (HEAD[0], BARE, NEVER, OURS))
