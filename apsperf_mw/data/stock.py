"""What all users of one cache in a process share."""

from __future__ import annotations

from collections import Counter
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final

from apsperf_mw.cache.checks import TTL_CLASSES, is_text
from apsperf_mw.cache.flights import Flights
from apsperf_mw.data.keys import key_bytes, prefix_of, tags_space
from apsperf_mw.data.marks import Marks
from apsperf_mw.drivers.async_base import AsyncDriver
from apsperf_mw.drivers.base import Driver
from apsperf_mw.errors import SettingError
from apsperf_mw.runtime.background import Background
from apsperf_mw.settings.masking import mask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.faults import Faults
    from apsperf_mw.settings import Settings

# The longest that anything is kept: a year.
MOST_TTL_S: Final = 365 * 86_400.0


class Stock:
    """One space of one driver: its keys' prefix, what is being made, and which tags are void."""

    def __init__(
        self,
        name: str,
        space: str,
        driver: Driver | AsyncDriver,
        settings: Settings,
        faults: Faults,
    ) -> None:
        self.title = f"{mask(name)} {space}".rstrip()
        self.place = f"the data cache {self.title}"
        self.driver = driver
        self.faults = faults
        self.prefix = prefix_of(settings.cache.namespace, space)
        self.tags_space = tags_space(self.prefix)
        self.most_bytes = settings.cache.max_entry_bytes
        self.patience_s = settings.cache.patience_s
        self.flights = Flights()
        self.marks = Marks()
        self.counts: Counter[str] = Counter()
        self.background = Background(partial(faults.note, f"a refresh of {self.place}"))
        self.looks_at_once = _looks_at_once(driver)
        # Whether a value with tags was met: then `look` asks for both in one round trip.
        self.tagged = False
        self._classes = settings.ttl

    def name(self, key: Any) -> bytes:
        """The key as the driver knows it; raises `TypeError` for what is none."""
        return key_bytes(self.prefix, key)

    @property
    def lease_s(self) -> float:
        """How long one process has the sole right to make a value, unless it ends it."""
        return max(2 * self.patience_s, 1.0)

    def ttl_s(self, ttl: Any) -> float:
        """The seconds of a TTL: a class, seconds, or None for as long as it can be kept."""
        kind = type(ttl)
        if (kind is int or kind is float) and 0 < ttl <= MOST_TTL_S:
            return float(ttl)
        if ttl is None:
            return MOST_TTL_S
        if isinstance(ttl, str) and ttl in TTL_CLASSES:
            return float(getattr(self._classes, ttl))
        if isinstance(ttl, int | float) and kind is not bool and 0 < ttl < inf:
            return min(float(ttl), MOST_TTL_S)
        known = ", ".join(TTL_CLASSES)
        raise SettingError(f"ttl: {ttl!r} given; accepted: {known}, seconds above 0, or None")


def tag_names(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags, checked; one string is one tag."""
    names = (tags,) if isinstance(tags, str) else tuple(tags)
    for name in names:
        if not is_text(name):
            raise SettingError(f"tags: {name!r} given; accepted: non-empty strings")
    return names


def _looks_at_once(driver: Driver | AsyncDriver) -> bool:
    """Whether the driver has a `look` of its own, which is one round trip."""
    kind = type(driver)
    for name, plain in (("look", Driver.look), ("alook", AsyncDriver.alook)):
        if hasattr(kind, name):
            return getattr(kind, name) is not plain
    return False
