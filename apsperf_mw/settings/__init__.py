"""Settings: one frozen tree from code, environment, TOML file and framework, in that order."""

from __future__ import annotations

from apsperf_mw.settings.cache import CacheSettings, RouteSettings
from apsperf_mw.settings.fields import Setting, catalogue, flatten, table
from apsperf_mw.settings.kinds import TTLSettings
from apsperf_mw.settings.loading import Sources, load
from apsperf_mw.settings.masking import mask
from apsperf_mw.settings.observing import (
    ExporterSettings,
    HealthSettings,
    LoggingSettings,
    MemorySettings,
    ProfilingSettings,
    PrometheusSettings,
    TimingSettings,
    TracingSettings,
)
from apsperf_mw.settings.sources import nest
from apsperf_mw.settings.tree import AdminSettings, DatabaseSettings, Settings

__all__ = [
    "AdminSettings",
    "CacheSettings",
    "DatabaseSettings",
    "ExporterSettings",
    "HealthSettings",
    "LoggingSettings",
    "MemorySettings",
    "ProfilingSettings",
    "PrometheusSettings",
    "RouteSettings",
    "Setting",
    "Settings",
    "Sources",
    "TTLSettings",
    "TimingSettings",
    "TracingSettings",
    "catalogue",
    "flatten",
    "load",
    "mask",
    "nest",
    "table",
]
