"""The numbers of a host's workers, each in a file that the others read."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import DecodeError, Struct, ValidationError, msgpack

from apsperf_mw.errors import SettingError
from apsperf_mw.ops.families import Family, merged
from apsperf_mw.runtime.threads import current_thread_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# A longer file is nobody's of ours.
MOST_BYTES = 1 << 24
# Files that are read in one scrape.
MOST_FILES = 1024
DEAD = "dead.apsperf"
SUFFIX = ".apsperf"


class Told(Struct, array_like=True):
    """What a file holds; `folded` are files whose numbers are in it already."""

    families: list[Family]
    folded: list[str] = []


class Workers:
    """A directory in which each worker leaves its numbers; what dead ones have counted is kept."""

    def __init__(self, directory: str) -> None:
        self._place = Path(directory)
        try:
            self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self._place.stat()
        except OSError as fault:
            raise SettingError(f"prometheus.directory: {fault}; accepted: a directory") from None
        if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & 0o022):
            raise SettingError(
                f"prometheus.directory: {directory} is another user's, or others may write there; "
                "accepted: a directory of one's own"
            )
        self.skipped = 0

    def tell(self, families: list[Family]) -> None:
        """Leave this process's numbers, in place of those before."""
        self._write(f"{me()}{SUFFIX}", Told(families))

    def all(self, mine: list[Family]) -> list[Family]:
        """The numbers of all workers, dead ones too; `mine` are this process's, told or not."""
        self._fold()
        read = self._read(DEAD) or Told([])
        known = {*read.folded, f"{me()}{SUFFIX}"}
        workers = [("", read.families), (me(), mine)]
        for name in self._names():
            told = self._read(name) if name not in known else None
            if told is not None:
                workers.append((name.removesuffix(SUFFIX), told.families))
        return merged(workers)

    def _fold(self) -> None:
        """Put what dead workers have counted into one file, and theirs away."""
        with suppress(OSError), self._locked():
            dead = [name for name in self._names() if not lives(name)]
            if not dead:
                return
            known = self._read(DEAD) or Told([])
            new = [name for name in dead if name not in known.folded]
            told = [each for each in map(self._read, new) if each is not None]
            lasting = [known.families, *([f for f in each.families if f.adds_up] for each in told)]
            self._write(DEAD, Told(merged([("", each) for each in lasting]), dead))
            for name in (*dead, *self._unfinished()):
                (self._place / name).unlink(missing_ok=True)

    def _unfinished(self) -> list[str]:
        """What workers were writing when they were killed; nobody else holds the lock now."""
        begun = [each.name for each in self._place.glob(f".*{SUFFIX}.*")]
        return [each for each in begun if not lives(each[1:].partition(SUFFIX)[0])]

    def _names(self) -> list[str]:
        try:
            listed = sorted(each.name for each in self._place.iterdir())
        except OSError:
            return []
        return [each for each in listed if each.endswith(SUFFIX) and each != DEAD][:MOST_FILES]

    def _read(self, name: str) -> Told | None:
        try:
            descriptor = os.open(self._place / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            with os.fdopen(descriptor, "rb") as file:
                return msgpack.decode(file.read(MOST_BYTES), type=Told)
        except FileNotFoundError:
            return None
        except (OSError, DecodeError, ValidationError):
            self.skipped += 1
            return None

    def _write(self, name: str, told: Told) -> None:
        """Replace a file as a whole; a scrape and the exporter's thread may do so at once."""
        scratch = self._place / f".{name}.{os.getpid()}.{current_thread_id()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(scratch, flags, 0o600), "wb") as file:
            file.write(msgpack.encode(told))
        scratch.replace(self._place / name)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        import fcntl

        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._place / ".lock", flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def me() -> str:
    """This process; its start tells it from a later one of the same number."""
    return f"{os.getpid()}-{started(os.getpid())}"


def lives(name: str) -> bool:
    """Whether the worker that a file is named after still runs."""
    number, _, start = name.removesuffix(SUFFIX).partition("-")
    return number.isdigit() and started(int(number)) == start


def started(pid: int) -> str:
    """When a process has begun, or nothing where it is none."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        return str(round(process.create_time() * 100))
    except psutil.Error:
        return ""


def names(families: Iterable[Family]) -> list[str]:
    """The names of families, for tests and messages."""
    return [each.name for each in families]
