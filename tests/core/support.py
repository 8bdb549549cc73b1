"""What the tests of the core share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_mw import Suite
from apsperf_mw.testing.messages import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from apsperf_mw.testing.harness import Client
    from apsperf_mw.testing.messages import Gate, Reply, Request

    App = Callable[[Request], Response]
    MakeClient = Callable[..., Client]

MINUTE = (("Cache-Control", "max-age=60"),)


def fresh(
    *headers: tuple[str, str], body: Iterable[bytes | Gate] = (b"page",), **more: Any
) -> Response:
    """A response that may be stored for a minute."""
    parts = list(body) if isinstance(body, tuple) else body
    return Response(headers=(*MINUTE, *headers), body=parts, **more)


def parts(*parts: bytes | Gate) -> Iterator[bytes | Gate]:
    """A body that is streamed."""
    return iter(parts)


def replies(outcomes: Iterable[Reply | BaseException]) -> list[Reply]:
    """The replies; what one of the requests raised is raised here."""
    got = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        got.append(outcome)
    return got


def numbered(*headers: tuple[str, str], status: int = 200) -> App:
    """An app whose answers are told apart by a number; storable unless the headers say else."""
    count = 0

    def app(request: Request) -> Response:
        nonlocal count
        count += 1
        return Response(status, headers or MINUTE, [b"answer %d" % count])

    return app


def followers(suite: Suite) -> int:
    """How many requests wait for the fetch of another."""
    fleets = list(suite.cache.flights._airborne.values())
    return sum(len(flight.wakers) for fleet in fleets for flight in list(fleet))
