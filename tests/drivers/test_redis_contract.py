"""The Redis and the tiered driver keep the contract, on every kind of deployment."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from apsperf_mw.drivers.redis import RedisDriver
from apsperf_mw.drivers.seal import Seals
from apsperf_mw.drivers.sealed import sealed_driver
from apsperf_mw.drivers.tiered import Tiered
from apsperf_mw.testing.drivers import AsyncDriverContract, DriverContract
from tests.drivers.servers import Cluster, Guarded, Server


class OnRedis:
    """On an empty server: what the other tests left is forgotten first."""

    url: str

    @pytest.fixture(autouse=True)
    def place(self, shared_server: Server) -> None:
        shared_server.say("FLUSHALL")
        self.url = shared_server.url

    def make(self) -> Any:
        return RedisDriver.from_url(self.url)

    def reopen(self) -> Any:
        return self.make()


class TestThreads(OnRedis, DriverContract):
    pass


class TestTasks(OnRedis, AsyncDriverContract):
    pass


class TestTasksOfTrio(TestTasks):
    backend = "trio"


class OnASocket(OnRedis):
    @pytest.fixture(autouse=True)
    def place(self, shared_server: Server) -> None:
        shared_server.say("FLUSHALL")
        self.url = f"unix://{shared_server.directory}/redis.sock"


class TestThreadsOnASocket(OnASocket, DriverContract):
    pass


class AsAUser(OnRedis):
    """One that may touch nothing but our keys."""

    @pytest.fixture(autouse=True)
    def place(self, shared_server: Server) -> None:
        shared_server.say("FLUSHALL")
        word = quote("pass:w@rd/?#", safe="")
        self.url = shared_server.url.replace("//", f"//app:{word}@")


class TestTasksAsAUser(AsAUser, AsyncDriverContract):
    pass


class OnACluster(OnRedis):
    @pytest.fixture(autouse=True)
    def place(self, cluster: Cluster) -> None:
        for node in cluster.nodes:
            node.say("FLUSHALL")
        self.url = cluster.url


class TestThreadsOnACluster(OnACluster, DriverContract):
    pass


class TestTasksOnACluster(OnACluster, AsyncDriverContract):
    pass


class OnSentinels(OnRedis):
    @pytest.fixture(autouse=True)
    def place(self, guarded: Guarded) -> None:
        guarded.one.say("FLUSHALL")
        self.url = guarded.url


class TestThreadsOnSentinels(OnSentinels, DriverContract):
    pass


class TestTieredThreadsAsAUser(AsAUser, DriverContract):
    def make(self) -> Any:
        return Tiered.from_url(f"tiered+{self.url}")


class TestTieredTasks(OnRedis, AsyncDriverContract):
    def make(self) -> Any:
        return Tiered.from_url(f"tiered+{self.url}")


class TestTieredOnACluster(OnACluster, DriverContract):
    def make(self) -> Any:
        return Tiered.from_url(f"tiered+{self.url}")


SEALS = Seals(["a secret of sixteen characters and more"])


class TestSealedThreads(OnRedis, DriverContract):
    def make(self) -> Any:
        return sealed_driver(super().make(), SEALS)


class TestSealedTieredTasks(OnRedis, AsyncDriverContract):
    def make(self) -> Any:
        return sealed_driver(Tiered.from_url(f"tiered+{self.url}"), SEALS)
