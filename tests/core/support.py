"""What the tests of the core share."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from apsperf_mw import Suite
from apsperf_mw.testing.forms import make_request
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
    fleets = list(suite.responses.flights._airborne.values())
    return sum(len(flight.wakers) for fleet in fleets for flight in list(fleet))


ETAG = ("ETag", '"v1"')
MODIFIED = ("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
LONGEST_WAIT_S = 20.0


def page(body: str = "page", *headers: tuple[str, str], status: int = 200, **more: Any) -> Response:
    """A response in one piece; unlike `fresh`, it says only what is given."""
    return Response(status, headers, [body.encode()] if body else [], **more)


class Script:
    """An app that answers each request with its next answer, and then with the last one again.

    An answer may be a function of the request. `requests` are those that came.
    """

    def __init__(self, *answers: Response | App) -> None:
        self._answers = list(answers)
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer(request) if callable(answer) else answer

    @property
    def last(self) -> dict[str, str]:
        """The fields of the last request, Host aside."""
        fields = self.requests[-1].headers
        return {name.lower(): value for name, value in fields if name.lower() != "host"}


def once(condition: Callable[[], bool], then: Callable[[], object] = bool) -> Callable[[], bool]:
    """For `meanwhile`: do `then` as soon as the condition has held; a `TimeoutError` if never."""
    until = monotonic() + LONGEST_WAIT_S
    held = False

    def meanwhile() -> bool:
        nonlocal held
        if not held:
            held = condition()
            if not held and monotonic() < until:
                return False
            then()
            if not held:
                raise TimeoutError("what the test waited for never came")
        return True

    return meanwhile


def quiet_after(client: Client, calls: int) -> Callable[[], bool]:
    """For `meanwhile`: the app was called so often, and nothing goes on in the background."""
    return once(lambda: client.calls >= calls and not len(client.suite.background))


def ask_and_wait(client: Client, calls: int, request: Request | None = None) -> Reply:
    """One request, and what goes on behind it, until the app was called so often."""
    outcomes = client.send_all([request or make_request()], meanwhile=quiet_after(client, calls))
    return replies(outcomes)[0]
