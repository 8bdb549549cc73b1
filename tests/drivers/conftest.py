from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from apsperf_mw.drivers.redis import RedisDriver
from tests.drivers.servers import Cluster, Guarded, Server


class Threads:
    """Calls a driver's blocking face."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def __call__(self, verb: str, *arguments: Any) -> Any:
        return getattr(self.driver, verb)(*arguments)

    def breathe(self) -> None:
        """Let a loop take in what the system has to tell."""

    def end(self) -> None:
        self.driver.close()


class Tasks(Threads):
    """Calls a driver's async face, in a loop that goes on from call to call."""

    def __init__(self, driver: Any) -> None:
        super().__init__(driver)
        self.runner = asyncio.Runner()

    def __call__(self, verb: str, *arguments: Any) -> Any:
        return self.runner.run(getattr(self.driver, f"a{verb}")(*arguments))

    def breathe(self) -> None:
        self.runner.run(asyncio.sleep(0.01))

    def end(self) -> None:
        self.runner.close()
        super().end()


MakeFace = Callable[..., Threads]


@pytest.fixture(params=[Threads, Tasks], ids=["threads", "tasks"])
def face(request: pytest.FixtureRequest) -> Iterator[MakeFace]:
    """Makes faces of Redis drivers by URL, and ends them."""
    with ExitStack() as stack:

        def make(url: str) -> Threads:
            made: Threads = request.param(RedisDriver.from_url(url))
            stack.callback(made.end)
            return made

        yield make


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of this test's own."""
    with Server(tmp_path / "redis") as started:
        yield started


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for tests that do it no harm; on TCP and on a unix socket, with an ACL user."""
    directory = tmp_path_factory.mktemp("shared")
    with Server(directory, "--unixsocket", directory / "redis.sock") as started:
        # As README has it.
        rights = "~apsperf{* resetchannels &apsperf:* +@all -@dangerous +info +client +cluster"
        started.say("ACL", "SETUSER", "app", "on", ">pass:w@rd/?#", *rights.split())
        yield started


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three masters."""
    with Cluster(tmp_path_factory.mktemp("cluster")).running() as running:
        yield running


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A master, a replica and a sentinel, for tests that do them no harm."""
    with Guarded(tmp_path_factory.mktemp("guarded")).running() as running:
        yield running
