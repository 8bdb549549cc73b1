from __future__ import annotations

import pytest

from benchmarks.drivers import main


def test_every_verb_is_measured_beside_the_library_under_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [
        ["redis", "get"],
        ["redis", "set"],
        ["redis", "aget"],
        ["redis", "aset"],
        ["tiered", "hit"],
    ]
