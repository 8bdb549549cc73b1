"""Response cache, timing, memory and tracing round any Python web app."""

from __future__ import annotations

from apsperf_mw.__about__ import __version__
from apsperf_mw.cache.policy import Plan, cached
from apsperf_mw.errors import (
    APSPerfError,
    DriverError,
    PurgeError,
    SettingError,
    UnknownDriver,
)
from apsperf_mw.settings import Settings
from apsperf_mw.standalone import Database
from apsperf_mw.suite import Suite

__all__ = [
    "APSPerfError",
    "Database",
    "DriverError",
    "Plan",
    "PurgeError",
    "SettingError",
    "Settings",
    "Suite",
    "UnknownDriver",
    "__version__",
    "cached",
]
