"""Warm-up from code: of an app in this process, by its suite."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from apsperf_mw.warm.apps import AppError, interface, traits
from apsperf_mw.warm.asking import ASGIAsker, WSGIAsker
from apsperf_mw.warm.fields import check_fields
from apsperf_mw.warm.origin import Origin
from apsperf_mw.warm.report import Report
from apsperf_mw.warm.run import Pace, Pages, Warming

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, MutableMapping

    from apsperf_mw.shell import Gate
    from apsperf_mw.warm.asking import Asker

BASE = "http://localhost"
LIMIT = 10_000
CONCURRENCY = 4
TIMEOUT_S = 30.0

MOST_PAGES = 10_000_000
MOST_CONCURRENCY = 64
MOST_SECONDS = 86_400

Number = TypeVar("Number", int, float)


class Options(TypedDict, total=False):
    """How to warm up.

    `base` is the URL by which clients know the app: what is stored is found again under its
    scheme and host only. A name that `headers` hold more than once makes variants. `rate` is in
    requests a second.
    """

    base: str
    headers: Iterable[tuple[str, str]]
    concurrency: int
    rate: float
    timeout_s: float
    limit: int


def warm(shells: Collection[Gate], targets: Iterable[str], app: object, options: Options) -> Report:
    """As `awarm`, in an event loop of its own; not to be called where one runs."""
    import anyio

    return anyio.run(partial(awarm, shells, targets, app, options))


async def awarm(
    shells: Collection[Gate], targets: Iterable[str], app: object, options: Options
) -> Report:
    """Ask one of the shells, or an app that holds one, for these paths or URLs.

    Raises for what is wrong with the call; what is wrong with a page is in the report.
    """
    chosen = choose(shells, app)
    concurrency = _bounded("concurrency", options.get("concurrency", CONCURRENCY), MOST_CONCURRENCY)
    limit = _bounded("limit", options.get("limit", LIMIT), MOST_PAGES)
    timeout_s = _bounded("timeout_s", options.get("timeout_s", TIMEOUT_S))
    rate = _bounded("rate", options["rate"]) if "rate" in options else None
    origin = Origin.parse(options.get("base", BASE))
    pages = Pages(origin, check_fields(options.get("headers", ())), limit, report := Report())
    pages.add(targets)
    asker = in_process(chosen, origin, concurrency, {})
    warming = Warming(asker, origin, make_pace(rate), timeout_s)
    known = traits(chosen)
    if known is None or known.enabled:
        warming.heed(known)
        await warming.run(pages.pages, concurrency, report)
    else:
        report.refuse((page.target for page in pages.pages), "cache.enabled is off")
    return report


def choose(shells: Collection[Gate], app: object) -> Any:
    """The shell to ask, or an app that has a suite inside."""
    if app is None:
        if len(shells) == 1:
            return next(iter(shells))
        raise AppError(f"the suite is round {len(shells)} apps; app= must say which to warm")
    for shell in shells:
        if app is shell or app == getattr(shell, "app", None):
            return shell
    return app


def in_process(app: Any, origin: Origin, threads: int, state: MutableMapping[str, Any]) -> Asker:
    """What asks an app of either interface; `AppError` for what is none."""
    if interface(app) == "asgi":
        return ASGIAsker(app, origin, state)
    return WSGIAsker(app, origin, threads)


def make_pace(rate: float | None) -> Pace:
    """A pace by the clock of the running loop."""
    from anyio import current_time, sleep

    return Pace(rate, current_time, sleep)


def _bounded(name: str, value: Number, most: float = MOST_SECONDS) -> Number:
    if not 0 < value <= most:
        raise ValueError(f"{name}: got {value!r}; accepted: more than 0, {most} at most")
    return value
