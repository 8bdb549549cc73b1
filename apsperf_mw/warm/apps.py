"""Apps to ask in this process: how to load one, what it speaks, and the suite round it."""

from __future__ import annotations

import inspect
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from apsperf_mw.asgi_gate import ASGIGate
from apsperf_mw.cache.faces import LocalFace
from apsperf_mw.errors import APSPerfError
from apsperf_mw.shell import Gate
from apsperf_mw.wsgi_gate import WSGIGate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, MutableMapping

    from apsperf_mw.asgi import ASGIApp

    State = MutableMapping[str, Any]

ACCEPTED_APP = "an ASGI app (scope, receive, send) or a WSGI app (environ, start_response)"

# Under these names apps and middleware keep what they wrap, those of the adapters included.
INNER = (
    "app",
    "wsgi_app",
    "asgi_app",
    "application",
    "middleware_stack",
    "_middleware_chain",
    "get_response",
    "func",
    "__wrapped__",
    "_gates",
    "_asgi",
)
MOST_LAYERS = 200

# An app that does not end its lifespan by then is cancelled.
SHUTDOWN_S = 10.0


class AppError(APSPerfError):
    """The app cannot be loaded, started or warmed; the text says why and what is accepted."""


class LifespanError(AppError):
    """The app's start-up or shutdown failed."""


class Traits(Struct, frozen=True):
    """What the suite round an app is like."""

    enabled: bool
    says: bool
    lasting: bool


def load_app(name: str, *, factory: bool = False) -> Any:
    """The object at `module:attribute`, or what it returns; found from the working directory."""
    from importlib import import_module

    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise AppError(f"got {name!r}; accepted: module:attribute")
    if "" not in sys.path and "." not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        return found() if factory else found
    except Exception as error:
        raise AppError(f"{name} does not load: {type(error).__name__}: {error}") from error


def interface(app: Any) -> Literal["asgi", "wsgi"]:
    """What an app speaks, as its kind or its parameters tell."""
    if not callable(app):
        raise AppError(f"{app!r} cannot be called; accepted: {ACCEPTED_APP}")
    if isinstance(app, Gate):
        return "asgi" if isinstance(app, ASGIGate) else "wsgi"
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__):
        return "asgi"
    taken = _places(app)
    if taken not in {2, 3}:
        raise AppError(f"{app!r} takes {taken} arguments; accepted: {ACCEPTED_APP}")
    return "asgi" if taken == 3 else "wsgi"


def _places(app: Callable[..., Any]) -> int:
    """How many arguments must be given by place."""
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return 0
    placed = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return sum(one.kind in placed and one.default is one.empty for one in parameters)


def layers(app: object) -> Iterator[object]:
    """The app and what it wraps, outermost first, as far as it can be seen."""
    seen: set[int] = set()
    waiting = deque([app])
    while waiting and len(seen) < MOST_LAYERS:
        layer = waiting.popleft()
        if layer is None or id(layer) in seen:
            continue
        seen.add(id(layer))
        yield layer
        own = getattr(layer, "__dict__", {})
        waiting.extend(own[name] for name in INNER if name in own)


def traits(app: object) -> Traits | None:
    """What the first suite round the app is like; None where none can be seen."""
    for layer in layers(app):
        if isinstance(layer, ASGIGate | WSGIGate):
            return Traits(layer.enabled, layer.say, not isinstance(layer.face, LocalFace))
    return None


def described(app: object) -> bytes | None:
    """The OpenAPI document that an app makes of itself, as JSON; None where it makes none."""
    from msgspec import json

    for layer in layers(app):
        describe = getattr(layer, "openapi", None)
        if callable(describe):
            return json.encode(describe())
    return None


class Lifespan:
    """An ASGI app's lifespan protocol, from the server's side."""

    def __init__(self, app: ASGIApp) -> None:
        from anyio import Event

        self._app = app
        self.state: State = {}
        self.answered, self.stopping, self.ended = Event(), Event(), Event()
        self.failure: str | None = None

    async def serve(self) -> None:
        """Run the app's side; one that does not take part raises or returns, which is fine."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:
            self._note(error)
        finally:
            self.answered.set()
            self.ended.set()

    def _note(self, error: Exception) -> None:
        if self.answered.is_set() and self.failure is None:
            self.failure = f"{type(error).__name__}: {error}"

    async def _receive(self) -> State:
        if not self.answered.is_set():
            return {"type": "lifespan.startup"}
        await self.stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: State) -> None:
        if message["type"] in {"lifespan.startup.failed", "lifespan.shutdown.failed"}:
            told = message.get("message", "").strip().splitlines()  # often a whole traceback
            self.failure = told[-1].strip() if told else "it gave no reason"
        self.answered.set()


async def within_lifespan(app: ASGIApp, body: Callable[[State], Awaitable[None]]) -> None:
    """Await `body(state)` between the app's start-up and shutdown.

    `AppError` where either fails. Also where the body is cancelled the app is shut down.
    """
    from anyio import create_task_group

    lifespan = Lifespan(app)
    raised: Exception | None = None
    async with create_task_group() as tasks:
        tasks.start_soon(lifespan.serve)
        await lifespan.answered.wait()
        try:
            if lifespan.failure is None:
                await body(lifespan.state)
        except Exception as error:  # a group would wrap it
            raised = error
        finally:
            await _shut(lifespan)
            tasks.cancel_scope.cancel()
    if raised is not None:
        raise raised
    if lifespan.failure is not None:
        raise LifespanError(f"the app's lifespan failed: {lifespan.failure}")


async def _shut(lifespan: Lifespan) -> None:
    from anyio import move_on_after

    lifespan.stopping.set()
    with move_on_after(SHUTDOWN_S, shield=True):
        await lifespan.ended.wait()
