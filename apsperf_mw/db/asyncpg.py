"""asyncpg's connections, as SQLAlchemy makes them: how many prepared statements each keeps."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy.util import LRUCache, await_only

from apsperf_mw.db.preparing import ASK, ending
from apsperf_mw.db.seams import stand_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.db.preparing import Preparing
    from apsperf_mw.observe.prepared import Prepared

    Undo = Callable[[], object]

OURS, DRIVERS = "prepared_statement_cache_size", "statement_cache_size"
NAMES = "prepared_statement_name_func"
# How an app hands over a way to connect of its own, which takes what the app says alone.
CREATOR = "async_creator_fn"


class Kept(LRUCache[Any, Any]):
    """The statements that one connection keeps, counted."""

    def __init__(self, capacity: int, counts: Prepared) -> None:
        super().__init__(capacity)
        self._told = counts

    def __contains__(self, key: object) -> bool:
        return key in self._data

    def __getitem__(self, key: Any) -> Any:
        self._told.used += 1
        return super().__getitem__(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._told.made += 1
        super().__setitem__(key, value)


def follow_dialect(dialect: Any, preparing: Preparing) -> Undo:
    """Have new connections prepare as it says."""
    return ending(
        preparing, stand_in(dialect, {"connect": partial(connect, dialect.connect, preparing)})
    )


def connect(make: Callable[..., Any], preparing: Preparing, *given: Any, **named: Any) -> Any:
    """A new connection. One that has a pooler before it is made anew, where it is the first."""
    if not preparing.live or named.get(OURS) == 0:
        return make(*given, **named)  # the app wants it so
    made = make(*given, **arguments(preparing, named, allowed=preparing.likely))
    if not settled(preparing, made):
        made.close()
        made = make(*given, **arguments(preparing, named, allowed=False))
    cache = getattr(made, "_prepared_statement_cache", None)
    if type(cache) is LRUCache:
        made._prepared_statement_cache = Kept(cache.capacity, preparing.counts)
    return made


def arguments(preparing: Preparing, named: dict[str, Any], *, allowed: bool) -> dict[str, Any]:
    """What the driver is given: what the app says, but for what a pooler would break."""
    caches = {OURS} if CREATOR in named else {OURS, DRIVERS}
    if allowed:
        return {**dict.fromkeys(caches, preparing.most), **named}
    return {**named, **dict.fromkeys(caches, 0), NAMES: unnamed}


def unnamed() -> str:
    """A statement without a name is gone with the next: none is left on another's server."""
    return ""


def settled(preparing: Preparing, made: Any) -> bool:
    """Whether the connection may stay as it was made."""
    try:
        real = made.driver_connection
        pid = real.get_server_pid()
        if preparing.asks(pid):
            # Sent as it is: asyncpg prepares whatever it gives rows of.
            tag = await_only(real.execute(ASK.format(pid=pid)))
            preparing.hear(int(tag.rpartition(" ")[2]))
            return preparing.allowed
    except Exception:
        return False
    except BaseException:
        made.driver_connection.terminate()  # whoever waited for it is gone
        raise
    return True
