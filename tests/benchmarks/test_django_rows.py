from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.django_rows import HEAD

ROOT = Path(__file__).resolve().parents[2]


def test_both_databases_are_measured() -> None:
    command = [sys.executable, "-W", "error", "-m", "benchmarks.django_rows", "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    head, _, *rows = done.stdout.splitlines()
    assert head.split() == " ".join(HEAD).split()
    assert [row.split()[0] for row in rows] == ["sqlite"] * 3 + ["postgresql"] * 3
