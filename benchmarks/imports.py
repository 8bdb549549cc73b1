"""What `import apsperf_mw` takes beyond starting the interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[1]
BAR_MS = 60.0


class ImportTime(Struct):
    """Medians of pairs of processes, one with the import and one without."""

    interpreter_ms: float
    with_import_ms: float
    added_ms: float
    bar_ms: float = BAR_MS


def measure(*, rounds: int, progress: Callable[[str], None]) -> ImportTime:
    """Start interpreters in pairs; the first pair writes the bytecode and does not count."""
    progress(f"import: {rounds} pairs of interpreters")
    with tempfile.TemporaryDirectory() as bytecode:
        pairs = [_pair_ms(bytecode) for _ in range(rounds + 1)][1:]
    bare, ours = zip(*pairs, strict=True)
    added = median(our - bare for bare, our in pairs)
    return ImportTime(median(bare), median(ours), added)


def _pair_ms(bytecode: str) -> tuple[float, float]:
    # As installed by pip: compiled beforehand, wherever this tree may be written to.
    env = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return _process_ms("pass", env), _process_ms("import apsperf_mw", env)


def _process_ms(code: str, env: dict[str, str]) -> float:
    began = perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=env)
    return (perf_counter() - began) * 1e3
