"""What Django's connections to PostgreSQL do by the suite's settings, as JSON."""

# Django comes without types.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportMissingImports=false

from __future__ import annotations

import json
import logging
import os
import sys
from threading import Thread
from typing import Any

import django
from django.conf import settings

DIRECT, POOLED = os.environ["DIRECT"], os.environ["POOLED"]
SETTINGS: dict[str, Any] = {"max_connections": 3, "connection_timeout": 0.3, "prepare_after": 2}


def database(port: str, **options: Any) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "apsperf",
        "HOST": "127.0.0.1",
        "PORT": port,
        "OPTIONS": options,
    }


settings.configure(
    INSTALLED_APPS=["apsperf_django"],
    DATABASES={
        "default": database(DIRECT, pool=True),
        "sized": database(DIRECT, pool={"max_size": 5, "timeout": 2}),
        "single": database(DIRECT),
        "binding": database(DIRECT, server_side_binding=True),
        "binding_pool": database(DIRECT, server_side_binding=True, pool=True),
        "own": database(DIRECT, server_side_binding=True, prepare_threshold=4),
        "off": database(DIRECT, server_side_binding=True, prepare_threshold=None),
        "behind": database(POOLED, server_side_binding=True, prepare_threshold=0),
        "sqlite": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    },
    APSPERF={"database": SETTINGS},
    USE_TZ=False,
)
django.setup()

from django.db import OperationalError, connections  # noqa: E402

from apsperf_django import get_suite  # noqa: E402
from apsperf_mw.cache.policy import Plan, current  # noqa: E402


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


lines = Lines()
logging.getLogger("apsperf.database").addHandler(lines)


def sizes(alias: str) -> list[float]:
    pool = connections[alias].pool
    return [] if pool is None else [pool.min_size, pool.max_size, pool.timeout]


def ask(alias: str, times: int) -> None:
    for number in range(times):
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT %s::int + 1", [number])
            cursor.fetchall()


def prepared(alias: str) -> int:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT $1::int%%'"
        )
        return int(cursor.fetchone()[0])


def holding() -> dict[str, Any]:
    """Three threads of a request hold all; the fourth waits in vain."""
    taken = [connections["default"].copy() for _ in range(3)]
    token = current.set(Plan(route="/albums/{id}"))
    for each in taken:
        each.ensure_connection()
    current.reset(token)
    (watched,) = get_suite().children.statements.pools
    failed = ""
    try:
        connections["default"].copy().ensure_connection()
    except OperationalError as fault:
        failed = str(fault)
    held = len(watched.holders)
    for each in taken:
        each.close()
    return {"held": held, "failed": failed, "left": len(watched.holders), "idle": watched.idle}


def at_once() -> int:
    """All that took one before anybody watched are known too."""
    taken: list[Any] = []

    def take() -> None:
        one = connections["sized"].copy()
        one.ensure_connection()
        taken.append(one)

    threads = [Thread(target=take) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [each for each in get_suite().children.statements.pools if each.most == 5]
    held = len(found[0].holders) if len(found) == 1 else -1
    for each in taken:
        each.inc_thread_sharing()
        each.close()
    return held


def told() -> dict[str, Any]:
    ask("default", 1)  # there is no suite yet: nobody watches
    before = len(connections["default"].pool.__dict__.keys() & {"getconn", "putconn"})
    connections["default"].close()
    get_suite()
    found: dict[str, Any] = {
        "before": before,
        "sizes": {each: sizes(each) for each in ("default", "sized", "single")},
        "holding": holding(),
        "at once": at_once(),
    }
    for alias in ("single", "binding", "own", "off"):
        counts = found[alias] = []
        for _ in range(2):
            ask(alias, 3)
            counts.append(prepared(alias))
    for _ in range(6):
        ask("binding_pool", 1)
        connections["binding_pool"].close()
    ask("binding_pool", 3)
    found["binding_pool"] = prepared("binding_pool")
    ask("behind", 4)
    found["behind"] = prepared("behind")
    found["poolers"] = [each for each in lines.texts if "pooler" in each]
    stats = get_suite().database().stats()
    found["prepared"] = stats.prepared >= 3 and stats.prepared_calls >= 3
    for each in connections.all():
        each.close()
        if getattr(each, "pool", None) is not None:
            each.close_pool()
    return found


if __name__ == "__main__":
    json.dump(told(), sys.stdout)
