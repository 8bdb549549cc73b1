"""What must happen round a fork: locks are held while it happens, and files are closed before."""

from __future__ import annotations

import os
from threading import Lock
from typing import Protocol
from weakref import WeakSet


class Forking(Protocol):
    """What has something to do round a fork; neither method may raise."""

    def before_fork(self) -> None:
        """In the thread that forks, before it does."""

    def after_fork(self) -> None:
        """In the same thread, in parent and child alike."""


_watched: WeakSet[Forking] = WeakSet()
_told: list[Forking] = []
_turn = Lock()  # of two threads that fork at once


def watch(owner: Forking) -> None:
    """Have an owner told of every fork for as long as it lives."""
    with _turn:
        _watched.add(owner)


def _before() -> None:
    _turn.acquire()
    _told.extend(_watched)
    for owner in _told:
        owner.before_fork()


def _after() -> None:
    while _told:
        _told.pop().after_fork()
    _turn.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
