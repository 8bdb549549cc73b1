"""The README's Python blocks run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__, "../../README.md").resolve()
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_there_are_blocks_for_each_way_in() -> None:
    text = "\n".join(BLOCKS)
    for name in ("apsperf_fastapi", "apsperf_flask", "suite.wsgi"):
        assert name in text


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_runs_in_an_empty_directory(block: str, tmp_path: Path) -> None:
    (tmp_path / "block.py").write_text(block, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-W", "error", "block.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
