"""Which entry goes when there is no room: policies behind one interface."""

from apsperf_mw.drivers.eviction.base import Eviction
from apsperf_mw.drivers.eviction.ranked import GDSF, LRU
from apsperf_mw.drivers.eviction.sieve import Sieve

__all__ = ["GDSF", "LRU", "POLICIES", "Eviction", "Sieve"]

POLICIES: dict[str, type[Eviction]] = {"gdsf": GDSF, "lru": LRU, "sieve": Sieve}
