"""An app in this process: its admin endpoint, switched on for the purpose, and its purge file."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from apsperf_mw.asgi_gate import ASGIGate
from apsperf_mw.cache.faces import LocalFace
from apsperf_mw.cache.far import purge_far
from apsperf_mw.remote.server import Unreached, checked
from apsperf_mw.warm.apps import AppError, interface, layers, load_app, within_lifespan
from apsperf_mw.warm.origin import Origin
from apsperf_mw.warm.start import BASE, in_process
from apsperf_mw.wsgi_gate import WSGIGate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, MutableMapping

    from apsperf_mw.cache.tags import Purge
    from apsperf_mw.doctor import Checkup
    from apsperf_mw.shell import Gate
    from apsperf_mw.warm.asking import Asker

    Work = Callable[[Gate, Asker], Awaitable["T"]]

T = TypeVar("T")

ENABLED, TOKEN = "APSPERF_ADMIN__ENABLED", "APSPERF_ADMIN__TOKEN"
MOST_ANSWER_BYTES = 2**22
IN_MEMORY = (
    "--app: the cache is in the memory of the server's processes, and importing the app makes a"
    " new and empty one; ask a server by --server"
)


def explained(name: str, query: str, *, factory: bool) -> dict[str, Any]:
    """What the app's endpoint says to `explain`."""

    async def ask(gate: Gate, asker: Asker) -> dict[str, Any]:
        admin = gate.cache.settings.admin
        if not admin.enabled:
            raise Unreached("--app: its own code switches admin.enabled off")
        headers = [("Authorization", f"Bearer {admin.token}")]
        target = f"{admin.path}/explain?{query}"
        answer = await asker.ask(target, headers, MOST_ANSWER_BYTES)
        return checked(answer.status, answer.body)

    with _endpoint():
        return within(name, ask, factory=factory)


def purged(name: str, what: Purge, *, factory: bool) -> tuple[bool, Any]:
    """Purge in the app's store; whether that is in memory, and its channel to others or None."""

    async def purge(gate: Gate, asker: Asker) -> tuple[bool, Any]:  # noqa: ARG001
        if isinstance(gate.face, LocalFace):
            return True, gate.channel
        form = gate.cache.query_form
        formed = what._replace(urls=tuple(map(form.of_url, what.urls))) if form else what
        await purge_far(gate.face, formed)
        return False, None

    return within(name, purge, factory=factory)


def checked_up(name: str, *, factory: bool) -> Checkup:
    """What the doctor says of the app's suite."""

    async def look(gate: Gate, asker: Asker) -> Checkup:  # noqa: ARG001
        from apsperf_mw.runtime.loop import hop

        return await hop(gate.suite.doctor)

    return within(name, look, factory=factory)


def within(name: str, work: Work[T], *, factory: bool) -> T:
    """What `work` gives, between the app's start-up and shutdown."""
    import anyio

    got: list[T] = []
    try:
        app = load_app(name, factory=factory)

        async def inside(state: MutableMapping[str, Any]) -> None:
            asker = in_process(app, Origin.parse(BASE), 1, state)
            got.append(await work(_gate(app), asker))

        async def run() -> None:
            if interface(app) == "asgi":
                await within_lifespan(app, inside)
            else:
                await inside({})

        anyio.run(run)
    except AppError as error:
        raise Unreached(f"--app: {error}") from None
    return got[0]


def _gate(app: object) -> Gate:
    for layer in layers(app):
        if isinstance(layer, ASGIGate | WSGIGate):
            return layer
    raise Unreached("--app: there is no suite round it that can be seen")


@contextmanager
def _endpoint() -> Iterator[None]:
    """Have the suite of an app that is loaded meanwhile open its endpoint to us."""
    from secrets import token_urlsafe

    before = {name: os.environ.get(name) for name in (ENABLED, TOKEN)}
    os.environ[ENABLED] = "true"
    os.environ.setdefault(TOKEN, token_urlsafe(32))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
