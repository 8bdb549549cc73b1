"""What a suite is told to forget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from apsperf_mw.cache.faces import loop_face, thread_face
from apsperf_mw.cache.far import purge_far
from apsperf_mw.cache.policy import current
from apsperf_mw.cache.tags import Purge
from apsperf_mw.runtime.step import step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.cache.channel import Channel
    from apsperf_mw.cache.faces import Face, MakeFace
    from apsperf_mw.cache.flow import Cache
    from apsperf_mw.drivers.base import AsyncDriver, Driver


class Purging:
    """The part of a suite that purges."""

    responses: Cache
    channel: Channel | None

    def driver(self, layer: Literal["cache", "database"]) -> Driver | AsyncDriver:
        """The driver of a layer."""
        raise NotImplementedError

    def face(self, make: MakeFace) -> Face:
        """The cache's driver as a shell of one kind reaches it."""
        raise NotImplementedError

    def purge(
        self,
        *tags: str,
        urls: Iterable[str] = (),
        prefixes: Iterable[str] = (),
        everything: bool = False,
        hard: bool = False,
    ) -> None:
        """Make stored responses not good any more, at once, also those that are being made.

        Those that carry one of the tags, are of one of the URLs (absolute, or a path for any
        host), or stand below one of the prefixes. The next request asks the app about them;
        `hard`, they are not used even for that. The other workers of this host hear of it through
        `cache.purge_file`, before their next request or 10 ms later; all that share a driver
        outside the process hear of it through that. `SettingError` for what cannot be;
        `PurgeError` where not all have heard of it.
        """
        what = self._named(Purge(tags, tuple(urls), tuple(prefixes), everything, hard))
        if self.driver("cache").local:
            self.responses.tags.apply(what)
            self._tell(what)
        else:
            step(purge_far(self.face(thread_face), what))

    async def apurge(
        self,
        *tags: str,
        urls: Iterable[str] = (),
        prefixes: Iterable[str] = (),
        everything: bool = False,
        hard: bool = False,
    ) -> None:
        """As `purge`, without holding the event loop."""
        from apsperf_mw.runtime.loop import hop

        what = self._named(Purge(tags, tuple(urls), tuple(prefixes), everything, hard))
        if self.driver("cache").local:
            self.responses.tags.apply(what)
            await hop(self._tell, what)
        else:
            await purge_far(self.face(loop_face), what)

    def _named(self, what: Purge) -> Purge:
        """The purge as its URLs are stored; `SettingError` for what cannot be."""
        what.check()
        form = self.responses.query_form
        return what._replace(urls=tuple(map(form.of_url, what.urls))) if form else what

    def _tell(self, what: Purge) -> None:
        if self.channel is not None:
            self.channel.publish(what)

    def tag(self, *tags: str) -> None:
        """Have the response that is being made carry these tags; outside a request, nothing."""
        plan = current.get()
        if plan is not None:
            plan.add(tags)
