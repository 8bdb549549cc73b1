"""The benchmark of eviction runs, counts right, and drives what is shipped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.eviction.caches import BASE, OURS
from benchmarks.eviction.measure import Outcome, geometric, ratio, share_of_best
from benchmarks.eviction.replay import belady_misses, replay
from benchmarks.eviction.traces import SOURCES, WEB, Trace, load

ROOT = Path(__file__).parents[2]


def test_it_prints_the_tables_and_writes_what_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "made" / "eviction.json"
    command = [sys.executable, "-m", "benchmarks.eviction", "--quick", "--json", str(path)]
    names = [part for name in WEB for part in ("--trace", name)]
    done = subprocess.run([*command, *names], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for part in ("misses by bytes", "waits by entries", "geometric, web", "Belady", "CPU", "bar"):
        assert part in done.stdout
    found = json.loads(path.read_bytes())
    assert {run["trace"] for run in found["runs"]} == set(WEB)
    assert {"LRU", "LFU", "TTL", "gdsf", "lru", "sieve"} <= {run["cache"] for run in found["runs"]}


@pytest.mark.parametrize("name", SOURCES)
def test_every_trace_is_there_with_its_source(name: str) -> None:
    said = (ROOT / "benchmarks/data/traces/SOURCES.md").read_text()
    assert f"`{SOURCES[name].file}`" in said
    assert SOURCES[name].file in {each.name for each in (ROOT / "benchmarks/data/traces").iterdir()}


def test_the_default_policy_misses_less_than_lru_where_it_is_said_to() -> None:
    """Counted, not timed: the bars on the smaller traces of the web."""
    for name in ("nasa", "semicomplete"):
        trace = load(name)
        for percent in (1, 5, 10):
            for by_bytes, most in ((False, 0.93), (True, 0.72)):
                lru, gdsf = (
                    replay(trace, each, percent, by_bytes=by_bytes, alike=True)
                    for each in (BASE, OURS[0])
                )
                assert gdsf.misses <= most * lru.misses


@given(st.lists(st.integers(0, 9), min_size=1, max_size=120), st.integers(1, 6))
def test_nobody_beats_belady_and_lru_is_lru(keys: list[int], most: int) -> None:
    numbers = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    trace = Trace("made", [numbers[key] for key in keys], [1] * len(numbers), sized=False)
    percent = -(-most * 100 // len(numbers))
    room = max(1, len(numbers) * percent // 100)
    best = belady_misses(trace, room)
    runs = [replay(trace, each, percent, by_bytes=False, alike=True) for each in (BASE, *OURS)]
    assert all(best <= run.misses for run in runs)
    assert runs[0].misses == runs[2].misses
    outcome = Outcome(runs, {f"made {percent}": best}, {}, [])
    assert ratio(outcome, runs[2]) == 1.0
    assert share_of_best(outcome, runs[0]) <= 1.0
    assert geometric(outcome, "gdsf", percent, "entries", "alike") is None
