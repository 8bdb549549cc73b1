"""Django's connections to PostgreSQL: their pools, and what they prepare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from apsperf_mw.db.preparing import Preparing
from apsperf_mw.errors import SettingError
from apsperf_mw.settings import load, nest

if TYPE_CHECKING:
    from apsperf_mw.observe.statements import Statements

_preparing: WeakKeyDictionary[Statements, dict[str, Preparing]] = WeakKeyDictionary()


def fill_pools() -> None:
    """Size the pools that a project asks for, before one is made; what it says of them wins.

    What is wrong with its settings is said by `manage.py check`, and by Django itself.
    """
    databases: Any = connections.settings
    asked = [alias for alias in connections if databases[alias]["OPTIONS"].get("pool")]
    try:
        for alias in asked:
            if connections[alias].vendor == "postgresql":
                fill(databases[alias]["OPTIONS"])
    except (ImportError, ImproperlyConfigured, SettingError):
        return


def fill(options: dict[str, Any]) -> None:
    """Have the pool of these options as `database.max_connections` and its like say."""
    from apsperf_mw.db.psycopg_pools import options_of

    known = load({}, nest({"APSPERF": getattr(settings, "APSPERF", {})}))[0].database
    given = options["pool"]
    options["pool"] = options_of(known, {} if given is True else dict(given))


def heed(connection: Any, statements: Statements) -> None:
    """Watch the pool of a connection that was taken, and settle what it prepares."""
    if connection.vendor != "postgresql" or connection.connection is None:
        return
    pool = getattr(connection, "pool", None)
    if pool is not None:
        from apsperf_mw.db.psycopg_pools import watch

        watch(pool, statements, None).took(connection.connection)
    if hasattr(connection.connection, "prepare_threshold"):
        prepare(connection, preparing_of(connection, statements))


def prepare(connection: Any, preparing: Preparing) -> None:
    """Have values that the server binds be those of prepared statements.

    Django leaves that off for the sake of poolers, which are found out here.
    """
    from apsperf_mw.db.psycopg import AFTER, tune

    options, real = connection.settings_dict["OPTIONS"], connection.connection
    if options.get("server_side_binding") is True and "prepare_threshold" not in options:
        real.prepare_threshold = real.prepare_threshold or AFTER
    tune(real, preparing)


def preparing_of(connection: Any, statements: Statements) -> Preparing:
    """What is known of a database's poolers."""
    known = _preparing.setdefault(statements, {})
    found = known.get(connection.alias)
    if found is None:
        found = known.setdefault(connection.alias, Preparing(connection.alias, statements))
    return found
