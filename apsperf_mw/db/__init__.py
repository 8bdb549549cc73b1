"""Databases: what their statements cost, by statement and by request."""

from apsperf_mw.db.database import Database

__all__ = ["Database"]
