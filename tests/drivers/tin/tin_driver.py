"""A driver as a third party would write it: a dictionary, and what the contract asks for."""

from __future__ import annotations

from contextlib import AbstractContextManager
from threading import RLock
from time import monotonic
from typing import Self
from urllib.parse import urlsplit

from apsperf_mw import DriverError
from apsperf_mw.drivers.base import Driver
from apsperf_mw.runtime.forks import watch


class TinDriver(Driver):
    """Keeps bytes in this process."""

    blocks = False

    def __init__(self, label: str) -> None:
        self.label = label
        self._held: dict[bytes, tuple[float, bytes]] = {}
        self._lock = RLock()
        watch(self)  # a child must not find the lock taken

    @classmethod
    def from_url(cls, url: str) -> Self:
        label = urlsplit(url).netloc
        if not label:
            raise DriverError(f"{url}: accepted: tin://label")
        return cls(label)

    def get(self, key: bytes) -> bytes | None:
        until, value = self._held.get(key, (0.0, b""))
        return value if until > monotonic() else None

    def set(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        with self._lock:
            self._held[key] = (monotonic() + ttl_s, value)
        return True

    def add(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        with self._lock:
            return self.get(key) is None and self.set(key, value, ttl_s)

    def delete(self, key: bytes) -> bool:
        with self._lock:
            was = self.get(key) is not None
            self._held.pop(key, None)
            return was

    def clear(self, prefix: bytes = b"") -> None:
        with self._lock:
            for key in [key for key in self._held if key.startswith(prefix)]:
                del self._held[key]

    def close(self) -> None:
        self._held.clear()

    def exclusive(self) -> AbstractContextManager[object]:
        return self._lock

    def before_fork(self) -> None:
        self._lock.acquire()

    def after_fork(self) -> None:
        self._lock.release()

    def stats(self) -> dict[str, int]:
        held = list(self._held.values())
        return {"entries": len(held), "size_bytes": sum(len(value) for _, value in held)}
