"""The file driver: values in a directory that the processes of a host share."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Self

from apsperf_mw.drivers.base import LATER, Driver
from apsperf_mw.drivers.file_connection import MOST_ROW_BYTES
from apsperf_mw.drivers.file_disk import ForeignRow
from apsperf_mw.drivers.file_frame import HEAD_BYTES, digest, framed, unframed
from apsperf_mw.drivers.file_opening import Opening
from apsperf_mw.drivers.file_place import directory_of
from apsperf_mw.drivers.file_volume import Volume
from apsperf_mw.drivers.urls import url_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from apsperf_mw.drivers.base import Later
    from apsperf_mw.drivers.file_volume import Row

DEFAULT_MAX_BYTES = 256 * 1024 * 1024
LEAST_MAX_BYTES = 1024 * 1024
# How long a call waits for another process at most.
TIMEOUT_S = 1.0
MOST_KEY_BYTES = MOST_ROW_BYTES // 2


class FileDriver(Driver):
    """Keeps values in an SQLite database and in files beside it, until the machine restarts.

    Nothing in the directory is trusted: what was not written by this driver, or is damaged, is a
    miss, counted; a database that is neither whole nor ours is replaced by an empty one. A full
    disk makes `set` raise; what was there is served. Evicts the expired, then the oldest.
    """

    blocks: ClassVar[bool] = True
    shared: ClassVar[bool] = True

    def __init__(
        self, directory: Path, max_bytes: int = DEFAULT_MAX_BYTES, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._max_bytes = max_bytes
        self._opening = Opening(directory, max_bytes, timeout_s, self.counts)
        self._run = self._opening.run

    @classmethod
    def from_url(cls, url: str) -> Self:
        """`file:///directory?max_bytes=268435456`; from 1048576."""
        options = url_options(url, {"max_bytes": LEAST_MAX_BYTES})
        return cls(directory_of(url), **options)

    def get(self, key: bytes) -> bytes | None:
        """The value, or None where there is none or its time is over."""
        return self._run(self._get, key)

    def quick_get(self, key: bytes) -> bytes | Later | None:
        """As `get`; LATER where the value is in a file of its own or somebody is in the way."""
        volume = self._opening.at_hand()
        if volume is None:
            return LATER
        try:
            row = volume.row(digest(key))
        except (sqlite3.Error, UnicodeDecodeError):
            return LATER
        if row is None:
            return None
        return LATER if row.filename is not None else self._opened(volume, key, row)

    def set(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value; False where it is larger than the whole store."""
        return self._run(self._set, key, value, ttl_s)

    def add(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value where there is none, in whatever process."""
        return self._run(self._add, key, value, ttl_s)

    def delete(self, key: bytes) -> bool:
        """Forget a key; whether there was one."""
        return self._run(self._delete, key)

    def clear(self, prefix: bytes = b"") -> None:
        """Forget every key that begins with the prefix; reads through all keys."""
        self._run(Volume.clear_prefix, prefix)

    def exclusive(self) -> AbstractContextManager[object]:
        """No process of the host writes to the store meanwhile; reentrant in its thread.

        What is written inside is undone where an exception leaves it.
        """
        return self._exclusive()

    def stats(self) -> dict[str, int]:
        """`entries`, `size_bytes`, `evictions` of this process, and its `refused` values by why."""
        evictions = self._opening.volume().evictions
        entries, size = self._run(Volume.count), self._run(Volume.volume)
        return {"entries": entries, "size_bytes": size, "evictions": evictions, **self.counts}

    def close(self) -> None:
        """Close the database; a later call opens it again."""
        self._opening.close()

    # What is done with the database at hand.

    def _get(self, volume: Volume, key: bytes) -> bytes | None:
        row = volume.row(digest(key))
        return None if row is None else self._opened(volume, key, row)

    def _opened(self, volume: Volume, key: bytes, row: Row, *, again: bool = True) -> bytes | None:
        """The value of a row, if it is whole, of this key and its time not over."""
        if row.key != key:
            self.counts["refused_foreign"] += 1
            return None
        try:
            frame = volume.bytes_of(row)
        except ForeignRow:
            self.counts["refused_foreign"] += 1
            return None
        except OSError:  # overwritten meanwhile, or somebody took the file
            row_now = volume.row(digest(key)) if again else None
            return self._opened(volume, key, row_now, again=False) if row_now else None
        value, is_whole = unframed(key, frame)
        if not is_whole:
            self.counts["refused_damaged"] += 1
        return value

    def _set(self, volume: Volume, key: bytes, value: bytes, ttl_s: float) -> bool:
        most = self._max_bytes - LEAST_MAX_BYTES // 4
        if ttl_s <= 0 or len(key) > MOST_KEY_BYTES or len(key) + len(value) + HEAD_BYTES > most:
            volume.remove(digest(key))
            return False
        volume.set(digest(key), framed(key, value, ttl_s), expire=ttl_s, tag=key)
        return True

    def _add(self, volume: Volume, key: bytes, value: bytes, ttl_s: float) -> bool:
        with volume.transact():
            there = self._get(volume, key) is not None
            return not there and self._set(volume, key, value, ttl_s)

    def _delete(self, volume: Volume, key: bytes) -> bool:
        with volume.transact():
            there = self._get(volume, key) is not None
            volume.remove(digest(key))
        return there

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._opening.volume().transact():
            yield
