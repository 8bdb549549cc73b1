"""The way from a command to a server: one server, the master that sentinels name, or a cluster.

Where the servers are is asked by a blocking call, at the first command and then in the background
while something is down.
"""

from __future__ import annotations

from collections import deque
from os import getpid
from time import monotonic
from typing import TYPE_CHECKING

from apsperf_mw.drivers.redis.commands import SLOTS as ASK_SLOTS
from apsperf_mw.drivers.redis.commands import Command
from apsperf_mw.drivers.redis.dialing import connection, fault_of, is_fault
from apsperf_mw.drivers.redis.options import Address
from apsperf_mw.drivers.redis.server import Server
from apsperf_mw.drivers.redis.slots import Slots
from apsperf_mw.errors import DriverDown, DriverError
from apsperf_mw.runtime.threads import Lock, Pulse

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.drivers.redis.commands import Reply
    from apsperf_mw.drivers.redis.options import Options


MOST_AMENDS = 1024


class Routes:
    """One server at a known address."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._closed = False
        self._lost = False
        self._pulse: Pulse | None = None
        # What is to be made good where a call failed that may have been carried out all the same.
        self._amends: deque[Command] = deque(maxlen=MOST_AMENDS)
        self._hire()
        self.servers: dict[Address, Server] = {}
        self._add(options.addresses[0])

    def server(self, key: bytes | None) -> Server:  # noqa: ARG002
        """The server for a name, or any; `DriverDown` where none is known."""
        return next(iter(self.servers.values()))

    def masters(self) -> list[Server]:
        """All servers that keep values."""
        return [self.server(None)]

    @property
    def known(self) -> bool:
        """Whether `server` can tell without asking anybody."""
        return True

    def locate(self) -> None:
        """Have `server` know; once nobody could tell, only the background asks."""
        if self.known:
            return
        if self._lost or not self.refresh():
            self._lost = True
            self.watch()
            raise DriverDown(f"nobody at {self.options.place} tells where the servers are")

    def follow(self, server: Server, fault: BaseException) -> tuple[Server, bool] | None:
        """Where to turn after a refusal, and whether ASKING must be said there."""
        if is_fault(fault, "ReadOnlyError"):  # it was demoted
            server.shut(str(fault))
        return None

    def refresh(self) -> bool:
        """Ask where the servers are; whether that is known now."""
        return True

    def tick(self) -> None:
        """Look after what is down; nobody waits for it."""
        self._lost = not self.refresh()
        for server in list(self.servers.values()):
            if server.breaker.probe(monotonic()):
                server.probe()
        self._amend()
        if not self.ailing() and self._pulse is not None:
            self._pulse.stop()

    def rest(self) -> None:
        """The pulse ended; what went down meanwhile needs a new one."""
        self._pulse = None
        if self.ailing():
            self.watch()

    def ailing(self) -> bool:
        """Whether anything is down."""
        down = any(server.breaker.open for server in self.servers.values())
        return self._lost or down or bool(self._amends)

    def amend(self, command: Command) -> None:
        """Have a command carried out behind the calls, as soon as the server answers."""
        self._amends.append(command)
        self.watch()

    def _amend(self) -> None:
        while self._amends:
            command = self._amends.popleft()
            try:
                self.server(command.key).call(command.known())
            except DriverError:
                self._amends.appendleft(command)
                return
            except Exception:  # noqa: S110 - refused: there is nothing to make good
                pass

    def watch(self) -> None:
        """Have a thread look after what is down, unless there is one."""
        if self._pid != getpid():  # the parent's thread is not in a forked child
            self._hire()
        with self._lock:
            if self._pulse is not None or self._closed:
                return
            self._pulse = Pulse(self)
        self._pulse.start(self.options.limits.probe_s)

    def close(self) -> None:
        """Close all connections that threads have used."""
        self._closed = True
        for server in self.servers.values():
            server.hang_up()
        if self._pulse is not None:
            self._pulse.stop()

    def _hire(self) -> None:
        self._pid = getpid()
        self._lock = Lock()
        self._pulse = None

    def _add(self, address: Address) -> Server:
        """A server that was not known; the others stay as they are."""
        server = Server(self.options, address, self.watch)
        self.servers = {**self.servers, address: server}
        return server


class Sentinels(Routes):
    """The master that the sentinels name; they are asked again while it is down."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._known = False

    @property
    def known(self) -> bool:
        """Whether a sentinel has named the master."""
        return self._known

    def server(self, key: bytes | None) -> Server:
        """The master."""
        self.locate()
        return super().server(key)

    def refresh(self) -> bool:
        """Ask the sentinels, one after the other."""
        ask = Command((b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self.options.master.encode()), None)
        for sentinel in self.options.addresses:
            found = asked(self._options_of_sentinels(), sentinel, ask)
            if isinstance(found, list):
                host, port = found
                super().server(None).move(Address(host.decode(), int(port)))
                self._known = True
                return True
        return False

    def _options_of_sentinels(self) -> Options:
        from msgspec.structs import replace

        limits = self.options.limits
        return replace(
            self.options, username=limits.sentinel_username, password=limits.sentinel_password, db=0
        )


class Cluster(Routes):
    """Each name's node, by a table that nodes correct by and by."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._slots = Slots()
        self.servers = {}

    @property
    def known(self) -> bool:
        """Whether any node has told who keeps what."""
        return bool(self._slots.masters)

    def server(self, key: bytes | None) -> Server:
        """The node that keeps the name, or any that is up."""
        self.locate()
        if key is None:
            return self._any()
        address = self._slots.node_of(key)
        if address is None:
            self.watch()
            raise DriverDown(f"no node of {self.options.place} keeps the slot of the key")
        return self.servers.get(address) or self._add(address)

    def masters(self) -> list[Server]:
        """All nodes that keep slots."""
        self.server(None)
        return [self.servers[address] for address in self._slots.masters]

    def follow(self, server: Server, fault: BaseException) -> tuple[Server, bool] | None:
        """A slot has moved, for good or in this moment."""
        if is_fault(fault, "AskError"):  # MovedError is one
            address = Address(fault.host or server.address.host, int(fault.port))  # type: ignore[attr-defined]
            moved = is_fault(fault, "MovedError")
            if moved:
                self._slots.move(fault.slot_id, address)  # type: ignore[attr-defined]
                self.watch()
            return self.servers.get(address) or self._add(address), not moved
        if is_fault(fault, "ClusterDownError"):
            self.watch()
        return super().follow(server, fault)

    def refresh(self) -> bool:
        """Ask the nodes, one after the other, those that are up first."""
        up = [server.address for server in self.servers.values() if not server.breaker.open]
        for address in dict.fromkeys((*up, *self.options.addresses, *self.servers)):
            found = asked(self.options, address, ASK_SLOTS)
            if isinstance(found, list) and found:
                self._slots.learn(found, address)
                self._settle()
                return True
        return False

    def _settle(self) -> None:
        """Keep the servers of the table, and only those."""
        known = self.servers
        self.servers = {
            address: known.get(address) or Server(self.options, address, self.watch)
            for address in self._slots.masters
        }
        for address, server in known.items():
            if address not in self.servers:
                server.hang_up()

    def _any(self) -> Server:
        servers = list(self.servers.values())
        return next((each for each in servers if not each.breaker.open), servers[0])


def asked(options: Options, address: Address, command: Command) -> Reply | DriverError:
    """The reply on a connection of its own, or what is wrong."""
    link = connection(options, address)
    try:
        link.send_command(*command.args, check_health=False)
        return link.read_response()
    except Exception as fault:
        return fault_of(fault, address) or DriverError(str(fault))
    finally:
        link.disconnect()


SHAPES: dict[str, Callable[[Options], Routes]] = {
    "one": Routes,
    "unix": Routes,
    "sentinel": Sentinels,
    "cluster": Cluster,
}
