"""Memory in front of Redis: what was read is kept here until Redis says that it changed."""

from apsperf_mw.drivers.tiered.driver import Tiered as Tiered

__all__ = ["Tiered"]
