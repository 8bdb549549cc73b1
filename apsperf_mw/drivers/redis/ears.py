"""Hears from Redis what changes there: by client tracking, or by messages where it is refused.

Each server that keeps values has one connection and one daemon thread. A heartbeat goes through
the same connection: what is answered to it comes after every change before it.
"""

from __future__ import annotations

from collections import Counter
from os import getpid
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import ref

from apsperf_mw.drivers.near import ALL, Void
from apsperf_mw.drivers.redis.commands import HASH, NAMES, OURS, VALUE, VOIDS, key_of
from apsperf_mw.drivers.redis.dialing import connection, is_fault
from apsperf_mw.errors import DriverDown
from apsperf_mw.runtime.threads import Gate, Pulse, RLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apsperf_mw.drivers.near import Near
    from apsperf_mw.drivers.redis.links import Link
    from apsperf_mw.drivers.redis.options import Address, Options
    from apsperf_mw.drivers.redis.routes import Routes

# Copies may be served for so long after a heartbeat was sent that was answered.
LIVE_S = 0.5
BEAT_S = 0.1
AGAIN_S = 0.1
WAIT_S = 0.05
SURVEY_S = 1.0
# So many messages are taken in before the heartbeat is looked after.
BATCH = 256


class Ear:
    """Listens to one server; tells the ears whether and until when it hears everything."""

    def __init__(self, ears: Ears, options: Options, address: Address) -> None:
        self.address = address
        self.live_until = 0.0
        self.messages = True  # until the server is known to tell itself
        # Whoever wants to hear may be gone at any time: this thread keeps nobody.
        self._ears = ref(ears)
        self._options = options
        self._link: Link | None = None
        self._sent_at = self._beat_at = 0.0
        self._closed = Gate()
        self._pulse = Pulse(self)
        self._pulse.start(0.0)

    def tick(self) -> None:
        """Take in what there is, for a twentieth of a second at most where there is nothing."""
        if self._ears() is None:
            self._pulse.stop()
            return
        try:
            link = self._link or self._connect()
            self._beat(link)
            for _ in range(BATCH):
                self._take(heard(link))
        except Exception as fault:
            if not self._is_silence(fault):
                self._lose(fault)

    def rest(self) -> None:
        """The thread ends."""
        self._hang_up()

    def close(self) -> None:
        """End the thread."""
        self._closed.open()
        self._pulse.stop()

    def _is_silence(self, fault: Exception) -> bool:
        return (
            self._link is not None and self._link.is_connected and is_fault(fault, "TimeoutError")
        )

    def _connect(self) -> Link:
        """Connect, and have the server tell; by messages where it refuses to track."""
        try:
            link = self._tracking()
        except Exception as fault:
            if not is_fault(fault, "ResponseError"):
                raise
            link = self._subscribed()
        self._sent_at = self._beat_at = monotonic()
        self._link = link
        self.live_until = self._sent_at + LIVE_S
        self._tell(Ears.opened)
        return link

    def _tracking(self) -> Link:
        link = connection(self._options, self.address, protocol=3)
        link._get_parser().set_invalidation_push_handler(_as_is)
        try:
            link.send_command(*TRACK, check_health=False)
            link.read_response()
        except BaseException:
            link.disconnect()
            raise
        self.messages = False
        return link

    def _subscribed(self) -> Link:
        link = connection(self._options, self.address)
        try:
            link.send_command("SUBSCRIBE", VOIDS, check_health=False)
            link.read_response()
        except BaseException:
            link.disconnect()
            raise
        self.messages = True
        return link

    def _beat(self, link: Link) -> None:
        """Send a heartbeat when one is due, one at a time; raise where one was missed."""
        now = monotonic()
        if self._sent_at > self._beat_at:
            if now > self._sent_at + LIVE_S:
                raise DriverDown("a heartbeat was missed")
        elif now >= self._sent_at + BEAT_S:
            link.send_command("PING", check_health=False)
            self._sent_at = now

    def _take(self, message: Any) -> None:
        """A heartbeat's answer, or a change."""
        if message == b"PONG" or (isinstance(message, list) and message[0] == b"pong"):
            self._beat_at = self._sent_at
            self.live_until = self._sent_at + LIVE_S
            self._tell(Ears.beaten)
        elif isinstance(message, list) and message[0] in (b"invalidate", b"message"):
            names = message[-1]
            void = _void([names] if isinstance(names, bytes) else names)
            self._tell(lambda ears: ears.near.heard(void))

    def _lose(self, fault: Exception) -> None:
        self.live_until = 0.0
        self._tell(lambda ears: ears.lost(fault))
        self._hang_up()
        self._closed.wait(AGAIN_S)

    def _tell(self, what: Callable[[Ears], None]) -> None:
        ears = self._ears()
        if ears is not None:
            what(ears)

    def _hang_up(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.disconnect()


class Ears:
    """Listens to all servers that keep values; near copies live while each of them is heard."""

    def __init__(self, routes: Routes, near: Near) -> None:
        self.near = near
        self.losses: Counter[str] = Counter()
        self._routes = routes
        self._lock = RLock()
        self._pid = getpid()
        self._ears: tuple[Ear, ...] = ()
        self._survey: Pulse | None = None
        if routes.options.shape in ("one", "unix"):
            self._listen([server.address for server in routes.masters()])
        else:
            self._survey = Pulse(self)
            self._survey.start(SURVEY_S)

    @property
    def stale(self) -> bool:
        """Whether this process was forked since, and has no ears of its own."""
        return self._pid != getpid()

    @property
    def need_messages(self) -> bool:
        """Whether writers must say what they change, since the servers do not."""
        return not self._ears or any(ear.messages for ear in self._ears)

    def opened(self) -> None:
        """One more hears; when all do, copies may be kept."""
        with self._lock:
            if all(ear.live_until for ear in self._ears):
                self.near.opened(self._until())

    def beaten(self) -> None:
        """A heartbeat was answered."""
        with self._lock:
            self.near.live_until = self._until()

    def lost(self, fault: Exception) -> None:
        """One hears nothing any more."""
        with self._lock:
            self.losses[type(fault).__name__] += 1
            self.near.lost()

    def close(self) -> None:
        """End all threads."""
        with self._lock:
            self.near.lost()
            for ear in self._ears:
                ear.close()
            self._ears = ()
        if self._survey is not None:
            self._survey.stop()

    def tick(self) -> None:
        """Ask where the servers are now; where they are others, listen to those."""
        try:
            self._routes.refresh()
            addresses = [server.address for server in self._routes.masters()]
        except Exception:  # the ears will notice what they lose
            return
        if {ear.address for ear in self._ears} != set(addresses):
            self._listen(addresses)

    def rest(self) -> None:
        """Nothing is held but what the ears hold."""

    def _listen(self, addresses: Iterable[Address]) -> None:
        with self._lock:
            self.near.lost()
            for ear in self._ears:
                ear.close()
            # Their first word waits for the lock.
            self._ears = tuple(Ear(self, self._routes.options, each) for each in addresses)

    def _until(self) -> float:
        return min((ear.live_until for ear in self._ears), default=0.0)


TRACK = ("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", OURS)


def heard(link: Link) -> Any:
    """The next message; redis-py's time-out where there is none."""
    return link.read_response(push_request=True, timeout=WAIT_S, disconnect_on_error=False)


def _as_is(message: Any) -> Any:
    return message


def _void(names: list[bytes] | None) -> Void:
    """Names as a change; none at all says that the whole store was emptied."""
    if names is None:
        return ALL
    found = [key_of(name) for name in names]
    return Void(
        tuple(key for key, kind in found if kind == VALUE),
        tuple(dict.fromkeys(key for key, kind in found if kind in (HASH, NAMES))),
    )
