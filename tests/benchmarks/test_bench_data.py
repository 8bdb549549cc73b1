from __future__ import annotations

import pytest

from benchmarks.data import BARS, OURS, main


def test_every_store_is_measured_beside_the_library_under_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for store, raw in [("memory", "cachetools"), ("file", "diskcache")]:
        for verb in ("set", "get"):
            rows = [line for line in lines if line.split()[:2] == [store, verb]]
            assert rows[0].split()[2] == raw
            assert any(row.split()[2] == OURS and f"<= {BARS[store]:.0f} us" in row for row in rows)
            assert any("Flask-Caching" in row for row in rows)
