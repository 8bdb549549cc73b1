"""What SQLAlchemy's engines lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.pool import StaticPool

from apsperf_mw.db.sharing import numbers

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Engine

    from apsperf_mw.db.notifying import Notifier
    from apsperf_mw.db.tables import Tables

# What libpq takes of an engine's address, whatever its driver is called.
LIBPQ = frozenset(
    (
        *("host", "port", "hostaddr", "options", "service", "passfile", "connect_timeout"),
        *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "channel_binding"),
        *("gssencmode", "krbsrvname", "target_session_attrs", "application_name"),
    )
)
# Where a connection's own number stands in its `info`.
NUMBER = "apsperf.number"


def notifier_of(engine: Engine, tables: Tables) -> Notifier | None:
    """What tells the other processes of an engine's commits; None where nothing does."""
    if engine.dialect.name != "postgresql":
        return None
    return tables.notifier(conninfo_of(engine.url))


def is_in_memory(engine: Engine) -> bool:
    """Whether each connection of an engine may have a database of its own, in memory."""
    if engine.dialect.name != "sqlite" or isinstance(engine.pool, StaticPool):
        return False
    path = engine.url.database or ""
    named = path.startswith("file:") and "memory" in path
    return path in {"", ":memory:"} or named or "memory" in engine.url.query.values()


def number_of(context: Any) -> int:
    """The number of a connection whose database is its own; a part of the keys of its rows."""
    known: dict[str, int] = context.root_connection.info
    return known.get(NUMBER) or known.setdefault(NUMBER, next(numbers))


def conninfo_of(url: URL) -> str:
    """An engine's address as libpq takes it; several hosts, with ports, are two lists there."""
    query = {name: listed(value) for name, value in url.query.items() if name in LIBPQ}
    parts = [host.rpartition(":") for host in query.get("host", "").split(",")]
    if any(colon and ":" not in name for name, colon, _ in parts):
        query["host"] = ",".join([name or port for name, _, port in parts])
        query["port"] = ",".join([port if name else "" for name, _, port in parts])
    plain = url.set(drivername="postgresql", query=query)
    return plain.render_as_string(hide_password=False)


def listed(value: str | tuple[str, ...]) -> str:
    """What a query says of a name, once or more often."""
    return value if isinstance(value, str) else ",".join(value)
