"""SIGTERM: the process is not ready any more, and then what was to happen happens."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from apsperf_mw.ops.health import Health

_known: WeakSet[Health] = WeakSet()
_before: dict[str, Any] = {}


def drain_on_term(health: Health) -> None:
    """Have SIGTERM drain, before whatever handles it now; only from the main thread.

    A server may set its own handler later, in place of this one: call it again then.
    """
    _known.add(health)
    if signal.getsignal(signal.SIGTERM) is _drain_all:
        return
    try:
        _before["handler"] = signal.signal(signal.SIGTERM, _drain_all)
    except ValueError:  # not the main thread
        return


def ends() -> bool:
    """Whether the server has had SIGTERM, where it hears of that alone.

    It keeps its handler where an app is loaded before and served by threads, which may not set
    another. What it notes then is found by the handler: a method of its worker.
    """
    server: Any = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    modules = {each.__module__ for each in type(server).__mro__}
    if "gunicorn.workers.base" in modules:
        # At `max_requests` a worker ends too, but another takes its place.
        return not server.alive and server.nr < server.max_requests
    return "uvicorn.server" in modules and bool(server.should_exit)


def _drain_all(number: int, frame: Any) -> None:
    for health in list(_known):
        health.drain()
    before = _before.get("handler")
    if callable(before):
        before(number, frame)
    elif before is signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
