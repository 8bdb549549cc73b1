from __future__ import annotations

import pytest

from benchmarks.advice.__main__ import main
from benchmarks.advice.measuring import HEAD


@pytest.mark.parametrize("workload", ["shop-sqlite", "chinook"])
def test_what_is_advised_is_made_and_timed(
    workload: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--only", workload, "--scale", "0.05"]) == 0
    head, _, row = capsys.readouterr().out.splitlines()
    assert head.split() == " ".join(HEAD).split()
    assert row.split()[0] == workload
    assert row.split()[4].endswith("x")
