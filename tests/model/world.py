"""Runs one program on the reference and on the package, and says what each of them did."""

from __future__ import annotations

import asyncio
import re
import sys
import time as wall
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache, partial
from importlib import import_module
from types import ModuleType

import pytest

from apsperf_mw import Suite
from apsperf_mw.cache.policy import Plan, rule
from apsperf_mw.settings import Settings, load
from apsperf_mw.testing import messages as package
from apsperf_mw.testing.harness import ASGIClient, WSGIClient
from tests.model.messages import (
    Abilities,
    AppFailed,
    Departures,
    Fields,
    House,
    Reply,
    Request,
    Response,
)
from tests.model.reference import Cache
from tests.model.script import START, Answer, Scenario, Step, answer_to

# Of what the app sees, what the cache may have changed.
SEEN = (
    *("if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "range"),
    *("if-range", "cookie", "authorization", "accept", "x-a", "host"),
)
QUIET: dict[str, dict[str, object]] = {
    "timing": {"enabled": False},
    "memory": {"enabled": False},
    "tracing": {"enabled": False},
    "exporter": {"kind": "none"},
}


# Modules that read a clock, and are loaded where they are first used.
LATE = ("asgi", "wsgi", "cache.channel_file", "cache.revival", "drivers.memory")
# Of the house what is no setting of its own.
OWN = ("credentials", "forwarding")
# How Cache-Status tells that a stored response stood in for the app's (RFC 9211 §2.3).
INSTEAD = re.compile(r'fwd-status=|detail="AppFailed"')


class Clock:
    """The monotonic and the wall clock, standing still until they are moved."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def monotonic(self) -> float:
        """The clock of the process."""
        return 10_000.0 + self.passed_s

    def wall(self) -> float:
        """Seconds since 1970."""
        return START + self.passed_s


def package_modules() -> list[tuple[str, ModuleType]]:
    """The package's modules that are loaded."""
    return [(name, module) for name, module in sys.modules.items() if name.startswith("apsperf_mw")]


def reads_clock(module: ModuleType) -> bool:
    """Whether the module reads a real clock."""
    monotonic = getattr(module, "monotonic", None) is wall.monotonic
    return monotonic or getattr(module, "time", None) is wall.time


@contextmanager
def clock_of_the_package() -> Iterator[Clock]:
    """A clock in place of the one that every module of the package reads."""
    clock = Clock()
    for name in LATE:
        import_module("apsperf_mw." + name)
    with pytest.MonkeyPatch.context() as patch:
        for _, module in package_modules():
            if getattr(module, "monotonic", None) is wall.monotonic:
                patch.setattr(module, "monotonic", clock.monotonic)
            if getattr(module, "time", None) is wall.time:
                patch.setattr(module, "time", clock.wall)
        yield clock
        late = [name for name, module in package_modules() if reads_clock(module)]
        assert late == [], f"{late} were loaded too late to be on the clock: add to LATE"


class Script:
    """The app: what it does in the present step, and what it has seen."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.answer = Answer()
        self.seen: list[tuple[str, ...]] = []

    def __call__(self, request: Request) -> Response:
        """Answer as the step says."""
        values = [f"{name}: {value}" for name in SEEN if (value := request.value(name)) is not None]
        self.seen.append((request.method, request.target, *values))
        self.clock.passed_s += self.answer.takes_s
        if self.answer.fails:
            raise AppFailed
        return answer_to(request, self.answer, len(self.seen), self.clock.wall())


@dataclass(frozen=True)
class Trace:
    """What came of one step: the reply, and what the app saw meanwhile."""

    reply: Reply
    seen: tuple[tuple[str, ...], ...]


def on_reference(scenario: Scenario, can: Abilities, departs: Departures) -> list[Trace]:
    """What the reference does."""
    clock = Clock()
    script = Script(clock)
    reference = Cache(can, scenario.house, departs, clock.wall)
    traces = []
    for step in scenario.steps:
        clock.passed_s += step.wait_s
        script.answer, script_from = step.answer, len(script.seen)
        reply = reference.handle(step.request, script)
        traces.append(Trace(reply, tuple(script.seen[script_from:])))
    return traces


def on_package(shell: str, scenario: Scenario, calls: list[int]) -> list[Trace]:
    """What the package does behind this shell; `calls` are those of the app that are expected."""
    with clock_of_the_package() as clock:
        script = Script(clock)
        suite = Suite(settings_of(scenario.house))

        def app(request: package.Request) -> package.Response:
            try:
                return write(script(read(request)))
            except AppFailed as error:
                return package.Response(error=error)

        client = WSGIClient(suite, app) if shell == "wsgi" else ASGIClient(suite, app)
        if isinstance(client, ASGIClient):
            return asyncio.run(run_tasks(client, scenario.steps, script))
        return run_here(client, scenario.steps, script, calls)


@cache
def settings_of(house: House) -> Settings:
    """The package's settings: those of the house that differ from the defaults.

    What other tests purge through the file of this directory is not part of the world.
    """
    default = House()
    names = [field.name for field in fields(House) if field.name not in OWN]
    given = {
        name: value for name in names if (value := getattr(house, name)) != getattr(default, name)
    }
    return load({"cache": {"purge_file": "none", **given}}, QUIET)[0]


def begin(step: Step, script: Script) -> package.Request:
    """The step begins; the request as the harness takes it."""
    script.clock.passed_s += step.wait_s
    script.answer = step.answer
    asked = step.request
    return package.Request(asked.method, asked.target, asked.fields, asked.body, asked.scheme)


def run_here(
    client: WSGIClient, program: list[Step], script: Script, calls: list[int]
) -> list[Trace]:
    """Each step in this thread; what goes on in others is waited for."""
    traces = []
    for step, expected in zip(program, calls, strict=True):
        seen_from = len(script.seen)
        reply = reply_of(client, begin(step, script))
        wait_until(partial(settled, client, script, expected))
        traces.append(Trace(reply, tuple(script.seen[seen_from:])))
    return traces


async def run_tasks(client: ASGIClient, program: list[Step], script: Script) -> list[Trace]:
    """Each step in this loop; the tasks that it leaves behind are waited for."""
    traces = []
    for step in program:
        seen_from = len(script.seen)
        request = begin(step, script)
        try:
            got = await client.asend(request)
            assert got is not None
            reply = read_reply(got)
        except AppFailed:
            reply = Reply("failed")
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)
        traces.append(Trace(reply, tuple(script.seen[seen_from:])))
    return traces


def settled(client: WSGIClient, script: Script, calls: int) -> bool:
    """Whether the app has been called so often, and nothing is being fetched any more."""
    suite = client.suite
    return len(script.seen) >= calls and not suite.responses.flights and not suite.background


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for another thread, two seconds at most; what it did is compared, not whether."""
    deadline = wall.monotonic() + 2
    while not condition() and wall.monotonic() < deadline:
        wall.sleep(0.001)


def reply_of(client: WSGIClient, request: package.Request) -> Reply:
    """What the client gets."""
    try:
        return read_reply(client.send(request))
    except AppFailed:
        return Reply("failed")


def read(request: package.Request) -> Request:
    """The request that the app sees, as the reference has it."""
    return Request(request.method, request.target, request.headers, request.body, request.scheme)


def write(response: Response) -> package.Response:
    """The app's response as the harness takes it."""
    plan = None
    if response.rule_s:
        plan = Plan(rule=rule(response.rule_s, shared=response.shared))
    body = [response.body] if response.body else []
    return package.Response(response.status, response.fields, body, plan=plan)


def read_reply(got: package.Reply) -> Reply:
    """The package's reply as the reference has it; Cache-Status tells whence it came."""
    head = tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in got.headers)
    kind = "app"
    said = got.lines("cache-status")
    if got.cache.hit or (said and INSTEAD.search(said[-1])):
        kind = "served"
    elif got.status == 504 and got.cache.detail == "only-if-cached":
        kind = "gateway-timeout"
    return Reply(kind, got.status, without_status(head), got.body, got.cache.stored)


def without_status(fields: Fields) -> Fields:
    """The fields without Cache-Status, which speaks of us."""
    return tuple(field for field in fields if field[0].lower() != "cache-status")
