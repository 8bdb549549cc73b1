"""Commits in a process of its own, which dies before it has told anybody but PostgreSQL."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from sqlalchemy import text

from apsperf_mw import Database


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(url: str, notify: str, how: str) -> None:
    database = Database(notify=notify == "1")
    engine = database.create_engine(url)
    tables: Any = database.suite.tables
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    level = {"isolation_level": "AUTOCOMMIT"} if how == "autocommit" else {}
    with engine.connect().execution_options(**level) as connection:
        tables.void = tables._purge = die  # between the commit and the purge
        connection.execute(text("UPDATE artist SET name = 'two' WHERE id = 1"))
        if how == "rollback":
            connection.rollback()
        elif how == "commit":
            connection.commit()


if __name__ == "__main__":
    main(*sys.argv[1:])
