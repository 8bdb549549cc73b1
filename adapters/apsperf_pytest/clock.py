"""A clock for tests: the suite's time goes on by itself, and further where a test moves it."""

from __future__ import annotations

import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# What tells how old something is. Waits and the exporters' thread go by the real time.
TIMED = (
    "apsperf_mw.asgi",
    "apsperf_mw.asgi_watch",
    "apsperf_mw.cache.calls",
    "apsperf_mw.cache.conditional",
    "apsperf_mw.cache.faces",
    "apsperf_mw.cache.far",
    "apsperf_mw.cache.flow",
    "apsperf_mw.cache.intake",
    "apsperf_mw.cache.leases",
    "apsperf_mw.cache.making",
    "apsperf_mw.cache.near",
    "apsperf_mw.cache.parts",
    "apsperf_mw.cache.revival",
    "apsperf_mw.cache.shelf",
    "apsperf_mw.cache.stores",
    "apsperf_mw.data.making",
    "apsperf_mw.data.verbs",
    "apsperf_mw.drivers.file_disk",
    "apsperf_mw.drivers.memory",
    "apsperf_mw.hooks",
    "apsperf_mw.observe.children",
    "apsperf_mw.observe.recorder",
    "apsperf_mw.observe.sockets",
    "apsperf_mw.observe.watcher",
    "apsperf_mw.shell",
    "apsperf_mw.wsgi",
    "apsperf_mw.wsgi_watch",
)
# Only where their framework is there.
ADAPTERS = ("apsperf_django.exchanges", "apsperf_django.watching")
NAMES = ("monotonic", "time")


class Clock:
    """Moves the time by which the suite judges freshness, ages and durations.

    Drivers outside the process, such as Redis, go by their own.
    """

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self._before: list[tuple[Any, str, Any]] = []

    def move(self, seconds: float) -> None:
        """Let so much time have passed."""
        if seconds < 0:
            raise ValueError(f"move: {seconds!r} given; accepted: seconds from 0")
        self.ahead_s += seconds

    def monotonic(self) -> float:
        """As `time.monotonic`, moved."""
        return time.monotonic() + self.ahead_s

    def time(self) -> float:
        """As `time.time`, moved."""
        return time.time() + self.ahead_s

    def set_up(self) -> None:
        """Have the suite go by this clock."""
        for module in modules():
            for name in NAMES:
                if vars(module).get(name) is getattr(time, name):
                    self._before.append((module, name, vars(module)[name]))
                    setattr(module, name, getattr(self, name))

    def tear_down(self) -> None:
        """Have it go by the real one again."""
        while self._before:
            module, name, real = self._before.pop()
            setattr(module, name, real)


def modules() -> Iterator[Any]:
    """The timed modules; those of a framework that is not in use are not loaded for it."""
    for name in TIMED:
        yield import_module(name)
    if "django" in sys.modules:
        for name in ADAPTERS:
            try:
                yield import_module(name)
            except Exception:  # noqa: S112 - Django is there, and not set up
                continue
