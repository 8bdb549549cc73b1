"""What the endpoint says and does of drivers and of the user's data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import DecodeError, Struct, ValidationError, json, to_builtins

from apsperf_mw.admin.questions import Refused
from apsperf_mw.data.health import ShownValues, shown, standings
from apsperf_mw.data.verbs import NOTHING, Verbs

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.data.reach import AnyDriver, Reach
    from apsperf_mw.suite import Suite

    ReachOf = Callable[[AnyDriver], Reach]

ACCEPTED = (
    "a JSON object of driver and space (text), and one of get (a key), clear (true) and "
    "invalidate (a list of tags)"
)


class DataBody(Struct, forbid_unknown_fields=True):
    """What is asked of the user's data: one of the last three."""

    driver: str = ""
    space: str = ""
    get: str | None = None
    clear: bool = False
    invalidate: tuple[str, ...] = ()

    def check(self) -> DataBody:
        """Itself, where one thing is asked."""
        if (self.get is not None) + self.clear + bool(self.invalidate) != 1:
            raise Refused(f"body: accepted: {ACCEPTED}")
        return self


def read_data(body: bytes) -> DataBody:
    """What a body asks."""
    try:
        return json.decode(body or b"{}", type=DataBody).check()
    except ValidationError as error:
        raise Refused(f"body: {error}; accepted: {ACCEPTED}") from None
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"body: {error}; accepted: {ACCEPTED}") from None


async def drivers(suite: Suite, reach_of: ReachOf) -> list[dict[str, Any]]:
    """All drivers and how they are."""
    found: list[dict[str, Any]] = to_builtins(await standings(suite.registry, reach_of))
    return found


async def data(suite: Suite, asked: DataBody, reach_of: ReachOf) -> dict[str, Any]:
    """Do what is asked of the user's data; a fault of the store is raised."""
    stock = suite.caches.stock(asked.driver, asked.space)
    return await done(Verbs(stock, reach_of(stock.driver), ShownValues(), raises=True), asked)


async def done(verbs: Verbs, asked: DataBody) -> dict[str, Any]:
    """Do it, and say what was done."""
    if asked.get is not None:
        value = await verbs.get(asked.get, NOTHING)
        there = value is not NOTHING
        return {"key": asked.get, "found": there, "value": shown(value) if there else None}
    if asked.clear:
        await verbs.clear()
        return {"cleared": asked.space}
    await verbs.invalidate(asked.invalidate)
    return {"invalidated": list(asked.invalidate)}
