"""What a suite has to do with databases."""

from __future__ import annotations

from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakMethod

from apsperf_mw.cache.faces import loop_face, thread_face
from apsperf_mw.drivers.base import LocalDriver
from apsperf_mw.errors import SettingError
from apsperf_mw.runtime.step import step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from apsperf_mw.cache.channel import Channel
    from apsperf_mw.cache.faces import Face, MakeFace
    from apsperf_mw.cache.flow import Cache
    from apsperf_mw.db import Database
    from apsperf_mw.db.results import Results
    from apsperf_mw.db.tables import Tables
    from apsperf_mw.drivers.base import AsyncDriver, Driver
    from apsperf_mw.drivers.registry import Registry
    from apsperf_mw.faults import Faults
    from apsperf_mw.observe.children import Children
    from apsperf_mw.runtime.background import Background
    from apsperf_mw.settings import Settings

# Where rows are kept if the default driver is outside the process.
ROWS_DRIVER = "memory://?max_bytes=67108864"


class Databases:
    """The part of a suite that follows databases."""

    settings: Settings
    responses: Cache
    channel: Channel | None
    registry: Registry
    children: Children
    faults: Faults
    background: Background
    purge: Callable[..., None]
    apurge: Callable[..., Awaitable[None]]

    def driver(self, layer: Literal["cache", "database"]) -> Driver | AsyncDriver:
        """The driver of a layer."""
        raise NotImplementedError

    def face(self, make: MakeFace) -> Face:
        """The cache's driver as a shell of one kind reaches it."""
        raise NotImplementedError

    def database(self) -> Database:
        """What the app's databases do: `database().attach(engine)`, `database().stats()`."""
        from apsperf_mw.db import Database

        statements = self.children.statements
        return Database(statements, self.tables, self.background, self.faults)

    @cached_property
    def tables(self) -> Tables | None:
        """What commits make void; None where they make nothing void."""
        if not self.settings.database.depends:
            return None
        from apsperf_mw.db.tables import Tables

        tags, results = self.responses.tags, self._make_results()
        purge, apurge = weakly(self.purge, _nothing), weakly(self.apurge, _anothing)
        said = self.settings.database
        more = {"local": self.driver("cache").local, "notify": said.notify, "rows": said.rows}
        return Tables(tags, results, purge, apurge, self.faults, self.background, **more)

    def close_tables(self) -> None:
        """Make nothing void any more."""
        if (tables := vars(self).get("tables")) is not None:
            tables.close()

    def _make_results(self) -> Results:
        """The rows of queries, in this process."""
        from apsperf_mw.db.results import Results

        driver: Any = self.driver("database")
        if not isinstance(driver, LocalDriver):
            if self.settings.database.driver is not None:
                raise SettingError(
                    f"database.driver: {self.settings.database.driver!r} given; accepted: a driver "
                    "that keeps objects in this process, such as memory"
                )
            driver = self.registry.get(ROWS_DRIVER)
        return Results(self.settings, driver, self.responses.tags, *self._looks())

    def _looks(self) -> tuple[Callable[[], None] | None, Callable[[], Awaitable[None]] | None]:
        """What asks the other processes for purges, for threads and for tasks."""
        if not self.driver("cache").local:
            return weakly(self._look, _nothing), weakly(self._alook, _anothing)
        channel = self.channel
        return (None if channel is None else lambda: channel.look(monotonic())), None

    @cached_property
    def _faces(self) -> dict[MakeFace, Any]:
        return {}

    def _face(self, make: MakeFace) -> Any:
        """A face that is made once; `DriverError` where the driver has none of the kind."""
        if make not in self._faces:
            self._faces[make] = self.face(make)
        return self._faces[make]

    def _look(self) -> None:
        step(self._face(thread_face).catch_up())

    async def _alook(self) -> None:
        await self._face(loop_face).catch_up()


def weakly(method: Callable[..., Any], otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """The method while its object lives: an engine that is attached must not keep a suite alive."""
    known = WeakMethod(method)

    def call(*given: Any) -> Any:
        return (known() or otherwise)(*given)

    return call


def _nothing(*_: object) -> None:
    pass


async def _anothing(*_: object) -> None:
    pass
