"""psycopg's connections: what they prepare, and that a rollback does not cost it."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from psycopg.pq import TransactionStatus

from apsperf_mw.db.preparing import ASK, ending
from apsperf_mw.db.seams import stand_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Engine

    from apsperf_mw.db.preparing import Preparing

    Undo = Callable[[], object]

# The driver's own; what differs from them was asked for by the app.
AFTER, MOST = 5, 100


def follow_engine(engine: Engine, preparing: Preparing) -> Undo:
    """Have a SQLAlchemy engine's new connections prepare as it says."""
    from sqlalchemy import event

    def connected(connection: Any, _: Any) -> None:
        if preparing.live:
            tune(connection, preparing)

    # Before SQLAlchemy looks round on the first: what is sent then may be prepared too.
    event.listen(engine, "connect", connected, insert=True)
    dialect = engine.dialect
    undo = stand_in(dialect, {"do_rollback": partial(roll_back, dialect.do_rollback)})
    # What the engine keeps alive must not keep the engine alive.
    return ending(preparing, partial(_unlisten, ref(engine), connected, undo))


def _unlisten(engine: ref[Engine], connected: Any, undo: Undo) -> None:
    from sqlalchemy import event

    undo()
    if (known := engine()) is not None:
        event.remove(known, "connect", connected)


def roll_back(do_rollback: Callable[[Any], None], connection: Any) -> None:
    """As a dialect does, without forgetting what is prepared where nothing has failed."""
    real = getattr(connection, "driver_connection", connection)
    kept: Any = getattr(real, "_prepared", None)
    if not hasattr(kept, "keeps") or real.info.transaction_status != TransactionStatus.INTRANS:
        do_rollback(connection)
        return
    kept.keeps = True
    try:
        do_rollback(connection)
    finally:
        kept.keeps = False


def tune(connection: Any, preparing: Preparing) -> None:
    """Have a new connection prepare as it says; SQLAlchemy's for an async one serves too."""
    real = getattr(connection, "driver_connection", connection)
    after = real.prepare_threshold
    if after is None:
        return  # the app wants it so
    real.prepare_threshold = None
    pid = real.info.backend_pid
    if preparing.asks(pid):
        asked = ask(connection, pid)
        if asked is None:
            return  # of this one it is not known
        preparing.hear(asked)
    settle(real, preparing, after)


async def tune_async(connection: Any, preparing: Preparing) -> None:
    """As `tune`, for psycopg's own async connection."""
    after = connection.prepare_threshold
    if after is None:
        return
    connection.prepare_threshold = None
    pid = connection.info.backend_pid
    if preparing.asks(pid):
        asked = await ask_async(connection, pid)
        if asked is None:
            return
        preparing.hear(asked)
    settle(connection, preparing, after)


def ask(connection: Any, pid: int) -> int | None:
    """How many rows come, outside any transaction; None where it cannot be asked."""
    try:
        commits = connection.autocommit
        connection.autocommit = True
        try:
            cursor = connection.cursor()
            cursor.execute(ASK.format(pid=pid))
            rows: int = cursor.rowcount
            cursor.close()
        finally:
            connection.autocommit = commits
    except Exception:
        return None
    except BaseException:
        abandon(connection)
        raise
    return rows


async def ask_async(connection: Any, pid: int) -> int | None:
    """As `ask`."""
    try:
        commits = connection.autocommit
        await connection.set_autocommit(True)
        try:
            cursor = await connection.execute(ASK.format(pid=pid))
            rows: int = cursor.rowcount
        finally:
            await connection.set_autocommit(commits)
    except Exception:
        return None
    except BaseException:
        abandon(connection)
        raise
    return rows


def abandon(connection: Any) -> None:
    """Close a connection at once: whoever waited for it is gone."""
    getattr(connection, "driver_connection", connection).pgconn.finish()


def settle(real: Any, preparing: Preparing, after: int) -> None:
    """Set what is known now; `after` is what the connection was made with."""
    if not preparing.allowed:
        return
    real.prepare_threshold = preparing.after if after == AFTER else after
    if real.prepared_max == MOST:
        real.prepared_max = preparing.most
    with suppress(ImportError, AttributeError):
        from apsperf_mw.db.keeping import keep

        keep(real, preparing.counts)
