"""What the settings choose by name: the form of keys, and which responses are worth storing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from apsperf_mw.errors import SettingError
from apsperf_mw.http.queries import QueryForm
from apsperf_mw.strategies import strategy

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.cache.keys import Key
    from apsperf_mw.settings import CacheSettings

# Uses are forgotten past this many URLs: first those that were not enough.
MOST_COUNTED = 4096


class Admission(Protocol):
    """Decides which responses are worth storing; called by several threads at once."""

    def count(self, key: Key) -> None:
        """A request of this URL has come that the cache has no answer to."""

    def admits(self, key: Key) -> bool:
        """Whether the response is worth storing."""
        ...


class Uses:
    """Admits what has been asked for `cache.min_uses` times."""

    def __init__(self, settings: CacheSettings) -> None:
        self._enough = settings.min_uses
        self._uses: dict[int, int] = {}

    def count(self, key: Key) -> None:
        """One use more."""
        uses, enough = self._uses, self._enough
        if len(uses) >= MOST_COUNTED:
            uses = {name: times for name, times in uses.items() if times >= enough}
            self._uses = uses = uses if len(uses) < MOST_COUNTED // 2 else {}
        name = hash(key)
        uses[name] = min(uses.get(name, 0) + 1, enough)

    def admits(self, key: Key) -> bool:
        """Whether there were enough."""
        return self._uses.get(hash(key), 0) >= self._enough


class Formed(QueryForm):
    """Queries in the form that a function of another package gives them."""

    def __init__(self, form: Callable[[bytes], bytes]) -> None:
        super().__init__(sort=False)
        self._form = form

    def __bool__(self) -> bool:
        return True

    def __call__(self, query: bytes) -> bytes:
        """What the function makes of it; `TypeError` where that is not bytes."""
        made = self._form(query)
        if not isinstance(made, bytes):
            raise TypeError(f"{self._form!r} gave {type(made).__name__}; accepted: bytes")
        return made


def admission(settings: CacheSettings) -> Admission | None:
    """What decides; None where all is admitted."""
    name = settings.admission
    made: Any = _called("admission", name, {"uses": Uses}, settings)
    if isinstance(made, Uses):
        return made if settings.min_uses > 1 else None
    if not (hasattr(made, "count") and hasattr(made, "admits")):
        raise SettingError(f"cache.admission: {name!r} made {made!r}; accepted: count and admits")
    return made  # type: ignore[no-any-return]


def query_form(settings: CacheSettings) -> QueryForm:
    """The form of queries in keys."""
    name = settings.key
    made: Any = _called("key", name, {"query": _query_form}, settings)
    if isinstance(made, QueryForm):
        return made
    if not callable(made):
        raise SettingError(f"cache.key: {name!r} made {made!r}; accepted: a function of a query")
    return Formed(cast("Callable[[bytes], bytes]", made))


def _query_form(settings: CacheSettings) -> QueryForm:
    return QueryForm(
        sort=settings.sort_query, ignore=settings.ignore_params, only=settings.only_params
    )


def _called(kind: str, name: str, ours: dict[str, Any], settings: CacheSettings) -> object:
    make = strategy(kind, name, ours)
    if not callable(make):
        raise SettingError(f"cache.{kind}: {name!r} is {make!r}; accepted: a function of settings")
    return make(settings)
