"""What a store gives back, mutated by what new code each mutation reaches."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
RUNS = int(os.environ.get("N") or 100) * 100
SEED = int(os.environ.get("SEED") or 1) % 2**32


@pytest.mark.fuzz
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not for this system")
def test_no_bytes_of_a_store_do_harm(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    limits = [f"-runs={RUNS}", f"-seed={SEED}", "-max_len=8192", "-rss_limit_mb=1024", "-timeout=5"]
    command = [sys.executable, "-m", "tests.fuzz.frames", str(corpus), *limits]
    done = subprocess.run(
        [*command, f"-artifact_prefix={tmp_path}/"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-8000:]
