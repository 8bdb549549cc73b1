from __future__ import annotations

import pytest

from benchmarks.batches import BATCH, HEAD, main


def test_each_way_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rounds", "1", "--rows", "200"]) == 0
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == " ".join(HEAD).split()
    assert len(rows) == 3
    assert rows[-1].startswith(BATCH)
