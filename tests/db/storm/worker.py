"""One process of a storm: threads that read through the cache and write, in two phases."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from pathlib import Path
from random import Random
from time import sleep
from typing import Any

from msgspec import Struct, json

from tests.db.storm.board import OVER, Board, Tally

# Shares of writes, and of the writes those that take a table to themselves.
STORM, RARE, READ_MOSTLY = 0.08, 0.03, 0.001
AGAIN_S = 0.02


class Task(Struct):
    """What a process is to do."""

    kind: str
    url: str
    settings: dict[str, Any]
    board: str
    most: int
    bound_s: float
    number: int
    processes: int
    threads: int
    operations: int
    seed: int
    deaf: bool = False
    dies: bool = False


class Told(Struct):
    """What came of it; hits and misses are those of the phase with few writes."""

    tally: Tally
    hits: int
    misses: int


def side_of(task: Task, board: Board) -> Any:
    """Who carries out the operations."""
    if task.kind == "django":
        from tests.db.storm.django_side import Django

        return Django(task.url, task.settings, board)
    from tests.db.storm.alchemy import Alchemy

    return Alchemy(task.url, task.settings, task.threads, board)


class Worker:
    """One process's threads."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.board = Board(Path(task.board), task.most, task.bound_s)
        self.side = side_of(task, self.board)
        self.each = task.operations // task.threads
        self.barrier = threading.Barrier(task.threads, self._meet)
        self.marks: list[tuple[int, int]] = []
        self.broken: list[str] = []

    def run(self) -> Told:
        """Both phases."""
        threads = [
            threading.Thread(target=self._storm, args=(number,), daemon=True)
            for number in range(self.task.threads)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.broken:
            raise SystemExit("\n".join(self.broken))
        self._count()
        (hits, misses), (more_hits, more_misses) = self.marks
        self.side.stop()
        return Told(self.board.tally, more_hits - hits, more_misses - misses)

    def _storm(self, number: int) -> None:
        random = Random((self.task.seed * 100 + self.task.number) * 100 + number)
        try:
            done = 0
            while done < self.each // 2 or not self.board.is_raised(OVER):
                self._once(random, STORM)
                done += 1
            self.barrier.wait()
            for _ in range(self.each - self.each // 2):
                self._once(random, READ_MOSTLY)
        except BaseException as fault:
            self.broken.append(repr(fault))
            self.barrier.abort()
            raise
        finally:
            getattr(self.side, "leave", lambda: None)()

    def _once(self, random: Random, share: float) -> None:
        try:
            if random.random() < share:
                rarely = random.random() < RARE
                self.board.count(wrote=self.side.write(random, rarely=rarely))
            else:
                self.side.read(random, calmly=share == READ_MOSTLY)
                self.board.count()
        except self.side.faults as fault:
            self.board.count(fault=fault)
            sleep(AGAIN_S)

    def _meet(self) -> None:
        """Wait until the threads of all processes are here."""
        self.board.raise_flag(1 + self.task.number)
        while not all(self.board.is_raised(1 + each) for each in range(self.task.processes)):
            sleep(0.005)
        self._count()

    def _count(self) -> None:
        counted = self.side.database.stats()
        self.marks.append((counted.hits, counted.misses))


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(given: str) -> None:
    faulthandler.register(signal.SIGUSR1)  # for whoever wonders what it waits for
    task = json.decode(given, type=Task)
    worker = Worker(task)
    tables = worker.side.suite.tables
    if task.dies:
        random = Random(task.seed)
        worker.side.read(random, calmly=True)
        tables._purge = die  # between the commit and the purge
        while True:
            worker.side.write(random, rarely=False)
    if task.deaf:
        tables._purge = tables.heard = lambda *_: None
    sys.stdout.write(json.encode(worker.run()).decode())


if __name__ == "__main__":
    main(sys.argv[1])
