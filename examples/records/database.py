"""The shop's database: a private copy of Chinook, gone at shutdown."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.orm import sessionmaker

from .models import Base

CHINOOK = Path(__file__).resolve().parents[1] / "data" / "chinook.sqlite"


class Database:
    """An engine and its sessions; `statements` counts the SQL statements sent."""

    def __init__(self, file: Path) -> None:
        self.engine = create_engine(f"sqlite:///{file}")
        self.sessions = sessionmaker(self.engine)
        self.statements = 0
        event.listen(self.engine, "connect", _prepare)
        event.listen(self.engine, "before_cursor_execute", self._count)
        Base.metadata.create_all(self.engine)

    def _count(self, *_: Any) -> None:
        self.statements += 1


def _prepare(connection: Any, _: Any) -> None:
    """Let readers go on while somebody writes."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


@contextmanager
def private_copy() -> Iterator[Database]:
    """A database of one's own, to write to."""
    with copied_file() as file:
        database = Database(file)
        try:
            yield database
        finally:
            database.engine.dispose()


@contextmanager
def copied_file() -> Iterator[Path]:
    """A copy of the Chinook file, gone afterwards."""
    with TemporaryDirectory(prefix="chinook-") as directory:
        file = Path(directory) / CHINOOK.name
        shutil.copyfile(CHINOOK, file)
        yield file
