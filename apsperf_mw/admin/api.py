"""The admin endpoint's answers, in bytes, whatever serves them."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from msgspec import json

from apsperf_mw.__about__ import __version__
from apsperf_mw.admin.questions import Refused, read_purge, read_question, read_wish
from apsperf_mw.admin.stores import data, drivers, read_data
from apsperf_mw.drivers.base import LocalDriver
from apsperf_mw.errors import APSPerfError, PurgeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from apsperf_mw.admin.questions import Question, Wish
    from apsperf_mw.advice.advising import Advice
    from apsperf_mw.cache.tags import Purge
    from apsperf_mw.data.reach import AnyDriver, Reach
    from apsperf_mw.exchange import Header
    from apsperf_mw.explain.steps import Explanation
    from apsperf_mw.suite import Suite

T = TypeVar("T")
# A longer body is refused.
MOST_BODY_BYTES = 65_536
METHODS = {
    "purge": "POST",
    "stats": "GET",
    "report": "GET",
    "advise": "GET",
    "explain": "GET",
    "health": "GET",
    "drivers": "GET",
    "data": "POST",
}
MARK = (b"apsperf-admin", __version__.encode("ascii"))
HEADERS: tuple[Header, ...] = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    MARK,
)


class Request(NamedTuple):
    """A request that bears the token; `name` is what stands behind the endpoint's path.

    The body has one byte more than is accepted at most.
    """

    method: str
    name: str
    query: bytes = b""
    body: bytes = b""
    headers: Sequence[Header] = ()


class Reply(NamedTuple):
    """A whole response."""

    status: int
    headers: tuple[Header, ...]
    body: bytes


class House(Protocol):
    """What the endpoint belongs to; its kind of server decides how it waits."""

    suite: Suite

    def reach(self, driver: AnyDriver) -> Reach:
        """A driver, as this kind of server may wait for it."""
        ...

    async def purge(self, what: Purge) -> None:
        """Purge, and tell the other workers."""

    async def run(self, work: Callable[[], T]) -> T:
        """What work that takes seconds comes to; a loop goes on meanwhile."""
        ...

    async def explain(self, question: Question) -> Explanation:
        """Explain what becomes of a request, or, of one that is made, what became of it."""
        ...


async def answer(house: House, request: Request) -> Reply:
    """The answer to a request; whatever goes wrong is one too."""
    allowed = METHODS.get(request.name)
    if allowed is None:
        return said(404, error=f"{request.name[:100]!r} is not here", accepted=sorted(METHODS))
    if request.method != allowed:
        return said(405, (b"allow", allowed.encode()), error=f"accepted: {allowed}")
    if len(request.body) > MOST_BODY_BYTES:
        return said(413, error=f"body: too long; accepted: {MOST_BODY_BYTES} bytes")
    return await guarded(house, _answer(house, request))


async def guarded(house: House, work: Awaitable[Reply]) -> Reply:
    """The reply that the work comes to, also where it fails."""
    try:
        return await work
    except Refused as error:
        return said(400, error=str(error))
    except PurgeError as error:
        return said(503, error=str(error), pid=os.getpid())
    except APSPerfError as error:
        return said(409, error=str(error), pid=os.getpid())
    except Exception as fault:
        house.suite.faults.note("the admin endpoint", fault)
        return said(503, error=f"{type(fault).__name__}; the log has more")


async def _answer(house: House, request: Request) -> Reply:
    match request.name:
        case "purge":
            return await purge(house, read_purge(request.body))
        case "explain":
            explanation = await house.explain(read_question(request.query))
            return said(200, **explanation.as_dict())
        case "stats":
            return said(200, **stats(house.suite))
        case "report":
            return said(200, pid=os.getpid(), **house.suite.report().as_dict())
        case "advise":
            advice = await house.run(partial(advised, house.suite, read_wish(request.query)))
            return said(200, pid=os.getpid(), **advice.as_dict())
        case "drivers":
            told = await drivers(house.suite, house.reach)
            return said(200, drivers=told, pid=os.getpid())
        case "data":
            done = await data(house.suite, read_data(request.body), house.reach)
            return said(200, **done, pid=os.getpid())
        case _:
            return said(200, status="ok", pid=os.getpid(), version=__version__)


async def purge(house: House, what: Purge) -> Reply:
    """Purge, and say who has heard of it."""
    await house.purge(what)
    if not house.suite.driver("cache").local:
        reached = "all that share the store"
    else:
        told = house.suite.channel is not None
        reached = "the workers of this host" if told else "this process"
    return said(200, purged=what._asdict(), reached=reached, pid=os.getpid())


def stats(suite: Suite) -> dict[str, object]:
    """The numbers of this process."""
    driver = suite.driver("cache")
    stored = driver.stats() if isinstance(driver, LocalDriver) else {}
    return {
        "pid": os.getpid(),
        **stored,
        "flights": len(suite.responses.flights),
        "background": len(suite.background),
        "data": suite.caches.stats(),
        "faults": dict(suite.faults.counts),
    }


def advised(suite: Suite, wish: Wish) -> Advice:
    """Advice on one of the suite's databases."""
    return suite.database().advise(
        wish.engine, budget_s=wish.budget_s, max_indexes=wish.max_indexes
    )


def said(code: int, /, *more: Header, **fields: object) -> Reply:
    """A response of these fields."""
    body = json.encode(fields) + b"\n"
    length = (b"content-length", b"%d" % len(body))
    return Reply(code, (*HEADERS, length, *more), body)
