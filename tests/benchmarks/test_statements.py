from __future__ import annotations

import pytest

from benchmarks.statements import HEAD, main


def test_every_arm_is_measured_beside_the_bare_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rounds", "1"]) == 0
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == " ".join(HEAD).split()
    assert [row[: len("apsperf-mw, within")].strip() for row in rows] == [
        "bare",
        "an empty pair of e",
        "apsperf-mw",
        "apsperf-mw, within",
    ]
    assert rows[0].split()[-1] == "+0.00"
