"""The statements that a psycopg connection keeps prepared, counted, through rollbacks too.

The driver has no door to them: where this release of it has another inside, they are not counted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from psycopg._preparing import Prepare, PrepareManager

if TYPE_CHECKING:
    from apsperf_mw.observe.prepared import Prepared

# What leaves the tables as they are.
_PLAIN = re.compile(
    rb"[\s(]*(?:SELECT|INSERT|UPDATE|DELETE|WITH|VALUES|MERGE|SHOW|SET|LOCK|SAVEPOINT|RELEASE)\b",
    re.IGNORECASE,
)


class Keeping(PrepareManager):
    """The statements that one connection keeps, counted.

    The driver forgets them all at a rollback, for the sake of tables that may have been made or
    altered before it. SQLAlchemy ends each transaction that has only read by one.
    """

    def __init__(self, before: PrepareManager, counts: Prepared) -> None:
        super().__init__()
        self.prepare_threshold = before.prepare_threshold
        self.prepared_max = before.prepared_max
        self.keeps = self.altered = False
        self._told = counts

    def maybe_add_to_cache(self, query: Any, prep: Prepare, name: bytes) -> Any:
        """A statement is being sent; its key where it is new."""
        key = super().maybe_add_to_cache(query, prep, name)
        if prep is Prepare.YES:
            self._told.used += 1
        elif prep is Prepare.SHOULD:
            self._told.made += 1
        if key is not None and not _PLAIN.match(key[0]):
            self.altered = True
            self._counts.pop(key, None)  # so that it is new when it comes again
        return key

    def clear(self) -> bool:
        """Forget all, unless a transaction ends that has left the tables as they were."""
        if self.keeps and not self.altered:
            return False
        self.altered = False
        return super().clear()


def keep(connection: Any, counts: Prepared) -> None:
    """Count those of a connection."""
    before = connection._prepared
    if type(before) is PrepareManager:
        connection._prepared = Keeping(before, counts)
