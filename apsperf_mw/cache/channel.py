"""Purges on their way between the workers of a host.

Whoever purges appends a line to a file; the others read it while they serve requests. In doubt,
where a line does not parse or the file is not the one that was there, everything is purged.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from msgspec import Struct, ValidationError, convert

from apsperf_mw.cache.tags import Purge
from apsperf_mw.errors import PurgeError, SettingError
from apsperf_mw.runtime.threads import RLock

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.cache.channel_file import PurgeFile
    from apsperf_mw.cache.tags import Tags
    from apsperf_mw.faults import Faults
    from apsperf_mw.settings import CacheSettings

# So often at most a process looks, and so often where it could not.
EVERY_S = 0.01
AGAIN_S = 1.0
# A longer line is written as one that purges everything.
MOST_LINE_BYTES = 262_144
ALL = Purge(everything=True, hard=True)


class Line(Struct, forbid_unknown_fields=True):
    """A purge as it stands in the file; `by` names the process that has carried it out."""

    by: str
    tags: tuple[str, ...]
    urls: tuple[str, ...]
    prefixes: tuple[str, ...]
    everything: bool
    hard: bool


class Channel:
    """One suite's view of the file. `due` is when it is to look next, by the monotonic clock.

    What was there at its first look is passed over: nothing was stored by then.
    """

    def __init__(self, file: PurgeFile, apply: Callable[[Purge], None], faults: Faults) -> None:
        self.file = file
        self.due = 0.0
        self._apply = apply
        self._faults = faults
        self._generation: bytes | None = None
        self._position = 0
        self._state: object = None
        self._missed = False
        self._looked = 0.0
        self._hire()

    def look(self, now: float) -> None:
        """Carry out what other processes have written; a fault is noted, and made up for later.

        Another thread's look serves as well where it began later; one that began before may have
        seen less.
        """
        if self._pid != os.getpid():
            self._hire()
        with self._lock:
            if self._looked > now:
                return
            self._looked, self.due = now, now + EVERY_S
            try:
                self._catch_up()
            except Exception as fault:
                self.due = now + AGAIN_S
                self._faults.note("the purge channel", fault)
                self._miss()

    def publish(self, what: Purge) -> None:
        """Write the purge for the other workers; `PurgeError` where that fails."""
        line = encoded(what)
        try:
            self.file.append(line)
        except (OSError, ValueError) as fault:
            raise PurgeError(
                f"purged in this process, but not in the other workers of this host: {fault}"
            ) from fault

    def _hire(self) -> None:
        """A fork may have copied the lock while a thread held it."""
        self._pid = os.getpid()
        # Who is told of a fault may come here again.
        self._lock = RLock()

    def _miss(self) -> None:
        """What others write is not seen: what is stored may be void already."""
        self._missed = True
        if self._generation is not None:
            self._apply(ALL)

    def _catch_up(self) -> None:
        state = self.file.state()
        if state is not None and state == self._state:
            return
        if state is None:
            self.file.create()
        page = self.file.read(self._position)
        follows = (
            page.generation == self._generation
            and len(page.rest) == page.state.size - self._position
        )
        if follows and not self._missed:
            self._heed(page.rest)
        else:
            known = self._generation is not None or self._missed
            self._generation, self._missed = page.generation, False
            self._position = page.state.size
            if known:
                self._apply(ALL)
        self._state = page.state

    def _heed(self, rest: bytes) -> None:
        """Carry out the lines that are whole; the last may be just being written."""
        whole = rest[: rest.rfind(b"\n") + 1]
        self._position += len(whole)
        for line in whole.splitlines():
            what = decoded(line, origin())
            if what is not None:
                self._apply(what)


def channel_of(settings: CacheSettings, tags: Tags, faults: Faults) -> Channel | None:
    """The channel by the settings; None where they want none, and where files have no locks."""
    if settings.purge_file == "none" or sys.platform == "win32":
        return None
    from apsperf_mw.cache.channel_file import PurgeFile

    return Channel(PurgeFile(settings.purge_file, settings.namespace), tags.apply, faults)


def encoded(what: Purge) -> bytes:
    """The purge as a line."""
    import json

    line = json.dumps({"by": origin(), **what._asdict()}).encode("ascii") + b"\n"
    if len(line) <= MOST_LINE_BYTES:
        return line
    return encoded(Purge(everything=True, hard=what.hard))


def decoded(line: bytes, me: str) -> Purge | None:
    """The purge of a line, None for one of `me`; everything where it does not parse."""
    import json

    try:
        found = convert(json.loads(line), Line)
        if found.by == me:
            return None
        what = Purge(found.tags, found.urls, found.prefixes, found.everything, found.hard)
        return what.check()
    except (ValueError, RecursionError, ValidationError, SettingError):
        return ALL


_process = (0, "")


def origin() -> str:
    """The name of this process, which no other has, also after a fork."""
    global _process  # noqa: PLW0603 - it is the process's, not a suite's
    pid = os.getpid()
    if _process[0] != pid:
        _process = (pid, f"{pid}.{os.urandom(8).hex()}")
    return _process[1]
