"""One server as threads reach it: its connections, and whether it is up."""

from __future__ import annotations

from os import getpid
from time import monotonic
from typing import TYPE_CHECKING

from apsperf_mw.drivers.redis.breaker import Breaker
from apsperf_mw.drivers.redis.commands import publish
from apsperf_mw.drivers.redis.dialing import connection, fault_of, is_fault
from apsperf_mw.drivers.redis.tasks import TaskServer
from apsperf_mw.errors import DriverDown, DriverError
from apsperf_mw.runtime.threads import Semaphore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apsperf_mw.drivers.redis.commands import Command, Reply
    from apsperf_mw.drivers.redis.links import Link
    from apsperf_mw.drivers.redis.options import Address, Options

PROBE = publish(b"apsperf:probe", b"")


class Server:
    """Calls one server, at most `max_connections` at a time; once it is down, only probes do.

    What the server refuses is raised as redis-py says it; everything else as `DriverError`.
    `down` is called when it is found to be down.
    """

    def __init__(self, options: Options, address: Address, down: Callable[[], None]) -> None:
        limits = options.limits
        self.options = options
        self.address = address
        self.breaker = Breaker(limits.faults, limits.probe_s)
        self.faults = 0
        # Connections of an earlier era lead nowhere, or to where the server was.
        self.era = 0
        self._down = down
        self._timeout_s = limits.timeout_s
        self.tasks = TaskServer(self)
        self._idle: list[Link] = []
        self._hire()

    def call(self, command: Command) -> Reply:
        """The reply to a command."""
        link = self._take()
        try:
            link.send_command(*command.args, check_health=False)
            reply = link.read_response()
        except BaseException as fault:
            self._settle(link, fault)
            if command.script is None or not is_fault(fault, "NoScriptError"):
                raise
        else:
            self._give(link)
            return reply
        return self.call(command.known())

    def call_many(self, commands: Sequence[Command]) -> list[Reply]:
        """The replies, in one round trip; what the server refuses stands among them as raised."""
        link = self._take()
        try:
            link.send_packed_command(
                link.pack_commands([command.args for command in commands]), check_health=False
            )
            replies = [self._reply(link) for _ in commands]
        except BaseException as fault:
            self._settle(link, fault)
            raise
        self._give(link)
        return replies

    def probe(self) -> bool:
        """Ask a server that is down, on a new connection; whether it is back."""
        link = self._dial()
        try:
            self._ask(link)
        except Exception as fault:
            link.disconnect()
            told = fault_of(fault, self.address)
            self.breaker.failed(str(told or fault), monotonic())
            return False
        self._idle.append(link)
        self.breaker.recovered()
        return True

    def failed(self, fault: DriverError) -> None:
        """Count a call that got no answer, by whichever face; a refusal is none of these."""
        if not isinstance(fault, DriverDown):
            return
        self.faults += 1
        if self.breaker.failed(str(fault), monotonic()):
            self.hang_up()
            self._down()

    def shut(self, reason: str) -> None:
        """Take the server for down at once."""
        while not self.breaker.open:
            self.failed(DriverDown(reason))

    def refuse(self) -> DriverDown:
        """What is raised for a server that is known to be down."""
        return DriverDown(
            f"redis at {self.address} is down and is not waited for; last: {self.breaker.reason}"
        )

    def crowded(self) -> DriverError:
        """What is raised where no connection came free in time."""
        most = self.options.limits.max_connections
        return DriverError(
            f"all {most} connections to redis at {self.address} are in use; see max_connections"
        )

    def hang_up(self) -> None:
        """Close the connections that nobody uses, and the others when they come back."""
        self.era += 1
        idle, self._idle = self._idle, []
        for link in idle:
            link.disconnect()

    def move(self, address: Address) -> None:
        """The server is elsewhere now."""
        if address != self.address:
            self.address = address
            self.hang_up()

    def _ask(self, link: Link) -> None:
        """Any answer will do, a refusal too."""
        try:
            link.send_command(*PROBE.args, check_health=False)
            link.read_response()
        except Exception as fault:
            if not is_fault(fault, "ResponseError"):
                raise

    def _reply(self, link: Link) -> Reply:
        try:
            return link.read_response()
        except Exception as fault:
            if is_fault(fault, "ResponseError"):
                return fault
            raise

    def _take(self) -> Link:
        if self._pid != getpid():  # a forked child must not use its parent's connections
            self._hire()
        self._be_up()
        if not self._places.acquire(timeout=self._timeout_s):
            raise self.crowded()
        try:
            self._be_up()  # it may have gone down in between
        except BaseException:
            self._places.release()
            raise
        return self._idle_link() or self._dial()

    def _dial(self) -> Link:
        link = connection(self.options, self.address)
        link.era = self.era
        return link

    def _be_up(self) -> None:
        if self.breaker.open:
            raise self.refuse()

    def _idle_link(self) -> Link | None:
        """One that is still good; the server may have gone meanwhile, and said so."""
        while self._idle:
            try:
                link = self._idle.pop()
            except IndexError:  # another thread took it
                return None
            try:
                if not link.can_read():
                    return link
            except Exception:  # noqa: S110 - that it cannot be used is all that matters
                pass
            link.disconnect()
        return None

    def _give(self, link: Link) -> None:
        if self.breaker.open or link.era != self.era:
            link.disconnect()
        else:
            self._idle.append(link)
        self.breaker.answered()
        self._places.release()

    def _settle(self, link: Link, fault: BaseException) -> None:
        """Keep the connection if the server answered; else raise what is wrong with the server."""
        if is_fault(fault, "ResponseError"):
            self._give(link)
            return
        link.disconnect()
        self._places.release()
        told = fault_of(fault, self.address)
        if told is not None:
            self.failed(told)
            raise told from fault

    def _hire(self) -> None:
        self._pid = getpid()
        self._idle = []
        self._places = Semaphore(self.options.limits.max_connections)
        self.breaker.recovered()
