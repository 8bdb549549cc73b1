"""A storm through HTTP: clients that ask for pages and write, and a process that writes beside."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from tests.adapters.support import ROOT, environ
from tests.db.storm.board import KEYS, OVER, Board
from tests.db.storm.cell import Cell, Outcome, spawn
from tests.db.storm.worker import RARE, READ_MOSTLY, STORM, Told
from tests.drivers.servers import free_port, until

CLIENTS = 4
# A connection is one worker's: so many requests go by it.
BY_ONE = 40
# By the file of purges, other workers' pages are void within this time.
HEARD_S = 0.01


class Site:
    """A server of a cell, whose processes are its workers."""

    def __init__(self, cell: Cell, directory: Path) -> None:
        self.cell = cell
        self.where = directory / "board"
        self.log = directory / "server.log"
        Board.make(self.where, cell.most)
        self.board = Board(self.where, cell.most, cell.bound_s)
        self.port = free_port()
        self.hits = self.misses = 0
        self.broken: list[BaseException] = []

    def outcome(self) -> Outcome:
        """Many writes, some of a process that is no server; then few."""
        began = time.monotonic()
        with self._serving():
            with self._writing_beside():
                self._all(STORM)
            self.hits = self.misses = 0
            self._all(READ_MOSTLY)
        assert not self.broken, self.broken
        took_s = time.monotonic() - began
        return Outcome(self.cell.name, self.board.tally, self.hits, self.misses, took_s)

    @contextmanager
    def _serving(self) -> Iterator[None]:
        task = msgspec.json.encode(self.cell.task(self.where, 0)).decode()
        command = [sys.executable, "-m", "uvicorn", "--host=127.0.0.1", f"--port={self.port}"]
        command += ["--no-access-log", "--lifespan=off", f"--workers={self.cell.processes}"]
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [*command, "tests.db.storm.site:app"],
                cwd=ROOT,
                env=environ() | {"STORM": task},
                stdout=log,
                stderr=log,
            )
            try:
                until(self._answers, "the site answers", within_s=60.0)
                yield
            finally:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(20.0)
                process.kill()
                process.wait()

    def _answers(self) -> bool:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=5.0)) as connection:
            return bool(self._ask(connection, "GET", "/all"))

    @contextmanager
    def _writing_beside(self) -> Iterator[None]:
        task = self.cell.task(self.where, 1)
        # It is alone in its phases, and its own rows are void for others in due time.
        task.number, task.processes, task.threads, task.bound_s = 0, 1, 2, HEARD_S
        task.operations //= 4
        with self.log.open("ab") as log:
            process = spawn(task, log)
            try:
                yield
                self.board.raise_flag(OVER)
                out, _ = process.communicate(timeout=600.0)
                assert process.returncode == 0, self.log.read_text(errors="replace")[-4000:]
            finally:
                process.kill()
                process.wait()
        self.board.tally.add(msgspec.json.decode(out, type=Told).tally)

    def _all(self, share: float) -> None:
        threads = [
            threading.Thread(target=self._client, args=(share, number), daemon=True)
            for number in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _client(self, share: float, number: int) -> None:
        random = Random(f"{self.cell.seed} {share} {number}")
        try:
            for _ in range(max(1, self.cell.operations // 2 // CLIENTS // BY_ONE)):
                with closing(HTTPConnection("127.0.0.1", self.port, timeout=60.0)) as connection:
                    for _ in range(BY_ONE):
                        self._once(connection, random, share)
        except BaseException as fault:
            self.broken.append(fault)
            raise

    def _once(self, connection: HTTPConnection, random: Random, share: float) -> None:
        if random.random() < share:
            rarely = int(random.random() < RARE)
            _, done, _ = self._ask(connection, "POST", f"/write/{random.randrange(10**9)}/{rarely}")
            if done is not None:
                self._wrote(*done)
            self.board.count(wrote=done is not None)
            return
        path = page_of(random)
        mark = self.board.mark()
        is_hit, shown, wanted = self._ask(connection, "GET", path)
        self.hits += is_hit
        self.misses += not is_hit
        self.board.count()
        for subject, version in shown.items():
            self.board.saw(mark, int(subject), version, path)
        if not shown:
            self.board.saw(mark, 0, None, f"{path} {wanted}")

    def _wrote(self, subject: int, version: int) -> None:
        if self.cell.processes == 1:
            self.board.wrote(subject, version)
        else:
            self.board.found(subject, version, self.cell.bound_s)

    def _ask(self, connection: HTTPConnection, method: str, path: str) -> tuple[bool, Any, str]:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise HTTPException(f"{response.status} {body[:200]!r}")
        status = response.headers.get("Cache-Status", "")
        return "; hit" in status, json.loads(body), status


def page_of(random: Random) -> str:
    """A page's path."""
    k, chance = random.randrange(KEYS), random.random()
    if chance < 0.75:
        return f"/{random.choice(('key', 'key', 'seen', 'snapshot'))}/{k}"
    return random.choice(("/all", "/one/child", "/one/bulk", "/one/wide"))
