"""How commits make void what was made of their tables, here and in the other processes."""

from __future__ import annotations

from os import getpid
from time import sleep
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from apsperf_mw.errors import APSPerfError
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from apsperf_mw.cache.tags import Tags
    from apsperf_mw.db.notifying import Notifier
    from apsperf_mw.db.results import Results
    from apsperf_mw.faults import Faults
    from apsperf_mw.runtime.background import Background

    Purge = Callable[..., None]
    AsyncPurge = Callable[..., Awaitable[None]]

# So often it is tried again to tell others what they have not heard of.
AGAIN_S = 1.0
PLACE = "the voiding of what was made of tables"


class Tables:
    """Of one suite. A purge that fails is not the writer's fault: it is tried until it succeeds.

    Meanwhile nothing that was made before is good in this process.
    """

    def __init__(
        self,
        tags: Tags,
        results: Results,
        purge: Purge,
        apurge: AsyncPurge,
        faults: Faults,
        background: Background,
        *,
        local: bool = True,
        notify: bool = False,
        rows: bool = False,
    ) -> None:
        self.tags = tags
        self.results = results
        self._purge = purge
        self._apurge = apurge
        self._faults = faults
        self._background = background
        self._local = local
        self.notify = notify
        self.rows = rows
        self.notifiers: WeakSet[Notifier] = WeakSet()
        self._owed: set[str] = set()
        self._closed = False
        # The process that has a thread which pays; a forked child has none.
        self._payer = 0
        self._lock = Lock()
        # What follows the connections that are wrapped, once there are any.
        self.wrapped: Any = None

    def void(self, tags: Iterable[str]) -> None:
        """Void what carries one of these tags, and tell the others; blocks."""
        named = sorted(tags)
        try:
            self._purge(*named)
        except APSPerfError as fault:
            self._owe(named, fault)

    async def avoid(self, tags: Iterable[str]) -> None:
        """As `void`, without holding the event loop."""
        named = sorted(tags)
        try:
            await self._apurge(*named)
        except APSPerfError as fault:
            self._owe(named, fault)
        except BaseException as fault:  # the caller is cancelled; what it has committed stays so
            self._owe(named, fault)
            raise

    def heard(self, tags: Iterable[str]) -> None:
        """Another process has committed something of these."""
        if self._local:
            self.tags.purge(tags)
        else:
            self.void(tags)

    def notifier(self, conninfo: str) -> Notifier | None:
        """What tells the other processes, where the settings want it."""
        if not self.notify:
            return None
        from apsperf_mw.db.notifying import Notifier

        made = Notifier(self, conninfo)
        self.notifiers.add(made)
        return made

    def close(self) -> None:
        """Try nothing again."""
        self._closed = True
        for each in list(self.notifiers):
            each.close()

    def _owe(self, tags: list[str], fault: BaseException) -> None:
        self._faults.note(PLACE, fault)
        self.tags.forget(self.tags.clock + 1)
        with self._lock:
            self._owed.update(tags)
            if self._payer != getpid() and self._background.spawn_thread(self._pay):
                self._payer = getpid()

    def _pay(self) -> None:
        while not self._closed:
            with self._lock:
                owed = sorted(self._owed)
                if not owed:
                    self._payer = 0
                    return
            try:
                self._purge(*owed)
            except Exception:
                sleep(AGAIN_S)
                continue
            with self._lock:
                self._owed.difference_update(owed)

    def note(self, place: str, fault: BaseException) -> None:
        """Something of ours went wrong."""
        self._faults.note(place, fault)
