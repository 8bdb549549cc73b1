"""The warm-up that a command line asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from apsperf_mw.warm.apps import (
    AppError,
    LifespanError,
    described,
    interface,
    load_app,
    traits,
    within_lifespan,
)
from apsperf_mw.warm.fields import check_fields, read_field
from apsperf_mw.warm.gather import Gathering, Sources
from apsperf_mw.warm.origin import Origin
from apsperf_mw.warm.remote import HTTPAsker
from apsperf_mw.warm.resume import Progress, StateError
from apsperf_mw.warm.run import Pages, Warming
from apsperf_mw.warm.sources import SourceError
from apsperf_mw.warm.start import BASE, in_process, make_pace

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from contextlib import AbstractContextManager

    from apsperf_mw.warm.report import Report, Result
    from apsperf_mw.warm.run import Page

    # Given the number of pages, a context whose value is called once for each that is done.
    Show = Callable[[int], AbstractContextManager[Callable[[], object]]]

NO_WHERE = (
    "neither is given; accepted: --base http://host:port for a server, --app module:attribute for"
    " an app in this process"
)
SUITE_OFF = "the suite's cache.enabled is off: nothing would be stored"
NO_PAST = "the app's cache is in the memory of this process: what an earlier run stored is gone"


class OrderError(Exception):
    """The command cannot be carried out as given; the text names the option."""


class Order(Struct, frozen=True, kw_only=True):
    """What the options say, as text where they need a closer look."""

    app: str | None
    factory: bool
    base: str | None
    host: str
    header: tuple[str, ...]
    sources: Sources
    own_openapi: bool
    concurrency: int
    rate: float | None
    timeout_s: float
    limit: int
    resume: str | None


def carry_out(order: Order, report: Report, show: Show) -> None:
    """Warm up and fill the report in, as far as it comes.

    Raises `OrderError` and `LifespanError`, and `KeyboardInterrupt` as it comes.
    """
    import anyio

    try:
        anyio.run(Command(order, report, show).run)
    except LifespanError:
        raise
    except AppError as error:
        raise OrderError(f"--app: {error}") from None
    except StateError as error:
        raise OrderError(f"--resume: {error}") from None
    except SourceError as error:
        raise OrderError(str(error)) from None


class Command:
    """One run of the command; made and run in the same thread."""

    def __init__(self, order: Order, report: Report, show: Show) -> None:
        self.order = order
        self.report = report
        self.show = show
        self.origin = _origin(order)
        self.fields = _fields(order)
        if order.app is None and order.base is None:
            raise OrderError(f"--app, --base: {NO_WHERE}")
        if order.own_openapi and order.app is None:
            raise OrderError(
                "--openapi: alone it needs --app; accepted: a file, or a URL of --base"
            )
        self.app = None if order.app is None else load_app(order.app, factory=order.factory)

    async def run(self) -> None:
        """Ask the server, or the app between its start-up and its shutdown."""
        order = self.order
        if self.app is None:
            await self._warm(
                self._warming(HTTPAsker(self.origin, order.concurrency, order.timeout_s))
            )
        elif interface(self.app) == "asgi":
            await within_lifespan(self.app, self._inside)
        else:
            await self._inside({})

    async def _inside(self, state: MutableMapping[str, Any]) -> None:
        known = traits(self.app)
        if known is not None:
            self.report.lasting = known.lasting
            if not known.enabled:
                raise OrderError(f"--app: {SUITE_OFF}")
            if self.order.resume and not known.lasting:
                raise OrderError(f"--resume: {NO_PAST}")
        asker = in_process(self.app, self.origin, self.order.concurrency, state)
        warming = self._warming(asker)
        warming.heed(known)
        await self._warm(warming)

    def _warming(self, asker: Any) -> Warming:
        return Warming(asker, self.origin, make_pace(self.order.rate), self.order.timeout_s)

    async def _warm(self, warming: Warming) -> None:
        pages = Pages(self.origin, self.fields, self.order.limit, self.report)
        await Gathering(pages, warming, self.report).take(self._sources())
        if self.report.refused and not pages.pages:
            reasons = ", ".join(self.report.refused)
            accepted = f"accepted: paths, and URLs of {self.origin.host} (--base, --host)"
            raise OrderError(f"none of the sources' pages can be asked for: {reasons}; {accepted}")
        if self.order.resume is None:
            await self._ask(warming, pages.pages, None)
            return
        progress = Progress.open(self.order.resume, self.origin)
        try:
            left = [page for page in pages.pages if not progress.has(page)]
            self.report.resumed = len(pages.pages) - len(left)
            await self._ask(warming, left, progress)
        finally:
            progress.close(finished=self.report.ok)

    async def _ask(self, warming: Warming, pages: list[Page], progress: Progress | None) -> None:
        with self.show(len(pages)) as advance:

            def done(page: Page, result: Result) -> None:
                if progress is not None and result.kind != "failed":
                    progress.note(page)
                advance()

            await warming.run(pages, self.order.concurrency, self.report, done)

    def _sources(self) -> Sources:
        sources = self.order.sources
        if not self.order.own_openapi:
            return sources
        document = described(self.app)
        if document is None:
            raise OrderError("--openapi: the app of --app makes no document of itself")
        return Sources(sources.urls, sources.sitemaps, sources.logs, document, sources.top)


def _origin(order: Order) -> Origin:
    try:
        return Origin.parse(order.base or BASE, order.host)
    except ValueError as error:
        raise OrderError(f"--{error}") from None


def _fields(order: Order) -> list[tuple[str, str]]:
    try:
        return check_fields(map(read_field, order.header))
    except ValueError as error:
        raise OrderError(f"--header: {error}") from None
