"""One cell of a storm: a database, its processes, and what befalls them meanwhile."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct, field, json
from sqlalchemy import create_engine, text

from tests.adapters.support import ROOT, environ
from tests.db.storm.board import BULK, CHILD, OVER, WIDE, Board, Tally
from tests.db.storm.worker import Task, Told
from tests.drivers.servers import until

LATEST_S = 3_000.0
BETWEEN_S = 0.5
# What is certain of each subject, by a connection that nobody knows of.
TRUE = {
    CHILD: "SELECT max(parent_id) FROM child",
    BULK: "SELECT max(v) FROM bulk",
    WIDE: "SELECT max(v) FROM wide",
}


class Cell(Struct):
    """`bound_s` is what other processes are promised of a commit that came back; `killed_s` of
    one whose process died before it could tell."""

    name: str
    kind: str
    url: str
    processes: int
    threads: int
    operations: int
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)
    bound_s: float = 0.0
    killed_s: float = 0.0
    deaf: bool = False

    def task(self, where: Path, number: int) -> Task:
        """What one process does."""
        each = self.operations // self.processes
        more = {
            name: getattr(self, name)
            for name in (
                "kind",
                "url",
                "settings",
                "bound_s",
                "seed",
                "processes",
                "threads",
                "deaf",
            )
        }
        return Task(board=str(where), most=self.most, number=number, operations=each, **more)

    @property
    def most(self) -> int:
        """More versions than a subject may come to have."""
        return self.operations * 4 + 10_000


class Outcome(Struct):
    """What came of a cell."""

    name: str
    tally: Tally
    hits: int = 0
    misses: int = 0
    took_s: float = 0.0

    @property
    def share(self) -> float:
        """Of the reads in the phase with few writes, those that were answered from the cache."""
        return self.hits / max(1, self.hits + self.misses)

    def line(self) -> str:
        """For people."""
        counts = self.tally
        every = counts.reads + counts.writes + counts.failed
        return (
            f"{self.name:34} {every:9} {counts.reads:9} {self.share:6.1%} {counts.writes:8}"
            f" {counts.failed:7} {counts.late_s * 1000:8.1f} {counts.stale:6} {self.took_s:7.1f}"
        )


HEAD = (
    f"{'cell':34} {'operations':>9} {'reads':>8} {'hits':>6} {'writes':>8} {'failed':>7}"
    f" {'late ms':>8} {'stale':>6} {'s':>7}"
)


def spawn(task: Task, log: Any) -> subprocess.Popen[bytes]:
    """A process for a task."""
    command = [sys.executable, "-m", "tests.db.storm.worker", json.encode(task).decode()]
    return subprocess.Popen(command, cwd=ROOT, env=environ(), stdout=subprocess.PIPE, stderr=log)


def done(processes: list[subprocess.Popen[bytes]]) -> bool:
    """Whether all have ended, or one has failed."""
    codes = [process.poll() for process in processes]
    return None not in codes or any(codes)


class Run:
    """A cell as it runs."""

    def __init__(self, cell: Cell, directory: Path) -> None:
        self.cell = cell
        self.where = directory / "board"
        Board.make(self.where, cell.most)
        self.board = Board(self.where, cell.most, cell.bound_s)
        self.log = directory / "log"

    def outcome(self, events: Iterable[Callable[[], object]] = ()) -> Outcome:
        """What came of it; whatever a process has said of itself where one fails."""
        waiting = iter(events)
        first = next(waiting, None)
        began = time.monotonic()
        cell, made = self.cell, Outcome(self.cell.name, Tally())
        with self.log.open("wb") as log:
            processes = [spawn(cell.task(self.where, each), log) for each in range(cell.processes)]
            try:
                for event in () if first is None else (first, *waiting):
                    time.sleep(BETWEEN_S)
                    event()
                time.sleep(BETWEEN_S if first is not None else 0.0)
                self.board.raise_flag(OVER)
                outs = self._outs(processes)
            finally:
                for process in processes:
                    process.kill()
                    process.wait()
        for out in outs:
            told = json.decode(out, type=Told)
            made.tally.add(told.tally)
            made.hits += told.hits
            made.misses += told.misses
        made.took_s = time.monotonic() - began
        return made

    def _outs(self, processes: list[subprocess.Popen[bytes]]) -> list[bytes]:
        """What they have said; where one has failed the others wait in vain."""
        until(lambda: done(processes), "the processes end", within_s=LATEST_S)
        failed = any(process.poll() for process in processes)
        assert not failed, self.log.read_text(errors="replace")[-4000:]
        return [process.communicate()[0] for process in processes]

    def kill_a_writer(self) -> None:
        """One that has committed, and dies before it has told anybody."""
        task = self.cell.task(self.where, 60)
        task.dies = True
        with self.log.open("ab") as log:
            process = spawn(task, log)
            process.communicate(timeout=60.0)
        assert process.returncode == -9, self.log.read_text(errors="replace")[-4000:]
        self.find()

    def find(self) -> None:
        """Tell of what is committed now, by whomever."""
        engine = create_engine(self.cell.url)
        try:
            with engine.connect() as connection:
                found = dict(map(tuple, connection.execute(text("SELECT k, v FROM kv"))))
                found |= {
                    each: connection.execute(text(query)).scalar_one()
                    for each, query in TRUE.items()
                }
        finally:
            engine.dispose()
        for subject, version in found.items():
            self.board.found(subject, version, self.cell.killed_s)
