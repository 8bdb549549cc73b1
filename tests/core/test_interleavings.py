"""Random interleavings of everything that may happen at the same time.

Time is virtual: the loop's clock is the suite's, and jumps to the next timer when all wait.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import selectors
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from apsperf_mw import Suite
from apsperf_mw.cache.policy import Plan
from apsperf_mw.runtime.threads import Lock
from apsperf_mw.testing.forms import make_request, request_of_scope, scope_of
from apsperf_mw.testing.harness import WSGIClient
from apsperf_mw.testing.messages import Request, Response
from tests.core.conftest import Clock, stop_clocks
from tests.core.support import followers

URLS: tuple[str, ...] = ("/plain", "/varies", "/moody")
USERS = (None, "ann", "bob")
TTL_S = 30
PATIENCE_S = 5.0


class JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: the clock jumps instead."""

    clock: Clock

    def select(self, timeout: float | None = None) -> Any:
        if timeout:
            self.clock.move(timeout + 1e-6)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on the test's clock."""

    def __init__(self, clock: Clock) -> None:
        selector = JumpingSelector()
        selector.clock = clock
        super().__init__(selector)
        self._test_clock = clock

    def time(self) -> float:
        return self._test_clock.now


class Asked(Struct, eq=False):
    """One request, and what was true when it came."""

    url: str
    user: str | None
    accept: str
    came_at: float
    epoch: int
    task: Any = None
    got: dict[str, Any] | None = None


class Call(Struct, eq=False):
    """One call of the app, waiting to be told how to go on."""

    request: Request
    told: Any
    epoch: int


class World:
    """A suite, an app that waits to be told what to do, and clients who come and go."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.suite = Suite(cache={"patience_s": PATIENCE_S, "max_entry_bytes": 2000})
        self.shell = self.suite.asgi(self.app)
        self.asked: list[Asked] = []
        self.calls: list[Call] = []
        self.epochs = dict.fromkeys(URLS, 0)
        self.ended_at: dict[int, float] = {}
        self.serial = 0

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        request = await request_of_scope(scope, receive)
        if request.method == "POST":
            status = 204 if "fails" not in request.target else 500
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body"})
            return
        scope["state"]["apsperf"].tags = (request.target,)
        self.serial += 1
        serial, epoch = self.serial, self.epochs[request.target]
        how = await self.next_order(request, epoch)
        if how == "raise":
            raise LookupError(request.target)
        head, body = self.answer(request, how, serial, epoch)
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body[:5], "more_body": True})
        if await self.next_order(request, epoch) == "raise":
            raise LookupError(request.target)
        self.ended_at[serial] = self.clock.now
        await send({"type": "http.response.body", "body": body[5:]})

    async def next_order(self, request: Request, epoch: int) -> str:
        call = Call(request, asyncio.get_running_loop().create_future(), epoch)
        self.calls.append(call)
        try:
            order: str = await call.told
            return order
        finally:
            if call in self.calls:
                self.calls.remove(call)

    def answer(
        self, request: Request, how: str, serial: int, epoch: int
    ) -> tuple[list[tuple[bytes, bytes]], bytes]:
        control = {"private": b"private", "public": b"public, max-age=%d" % TTL_S}
        head = [(b"cache-control", control.get(how, b"max-age=%d" % TTL_S))]
        varies = request.target == "/varies" or (request.target == "/moody" and how == "vary")
        if varies:
            head.append((b"vary", b"accept"))
        who = None if how == "public" else request.header("cookie")
        told = {
            "url": request.target,
            "accept": request.header("accept") if varies else None,
            "who": who,
            "serial": serial,
            "epoch": epoch,
            "filler": "x" * (3000 if how == "large" else 0),
        }
        body = json.dumps(told).encode()
        if how in {"length", "public"}:
            head.append((b"content-length", b"%d" % len(body)))
        return head, body

    async def ask(self, asked: Asked) -> None:
        chunks: list[bytes] = []
        headers = {"Accept": asked.accept} | ({"Cookie": asked.user} if asked.user else {})
        request = make_request(asked.url, headers)

        async def receive() -> Any:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                names = [name for name, _ in message["headers"]]
                assert b"cache-control" in names
                assert b"cache-status" in names
            else:
                chunks.append(message.get("body", b""))

        try:
            await self.shell(scope_of(request), receive, send)
        except LookupError as error:
            assert error.args == (asked.url,)
            return
        asked.got = json.loads(b"".join(chunks))
        self.check(asked)

    def check(self, asked: Asked) -> None:
        """No response of one key, variant or user for another; nothing void or expired."""
        got = asked.got
        assert got is not None
        assert got["url"] == asked.url
        assert got["accept"] in {None, asked.accept}
        assert got["who"] in {None, asked.user}
        assert got["epoch"] >= asked.epoch
        assert asked.came_at < self.ended_at[got["serial"]] + TTL_S

    # What may happen

    def comes(self, url: str, user: str | None, accept: str) -> None:
        asked = Asked(url, user, accept, self.clock.now, self.epochs[url])
        asked.task = asyncio.get_running_loop().create_task(self.ask(asked))
        self.asked.append(asked)

    def goes_on(self, which: int, how: str) -> None:
        waiting = [call for call in self.calls if not call.told.done()]
        if waiting:
            waiting[which % len(waiting)].told.set_result(how)

    def leaves(self, which: int) -> None:
        here = [asked for asked in self.asked if not asked.task.done()]
        if here:
            here[which % len(here)].task.cancel()

    async def posts(self, url: str) -> None:
        async def receive() -> Any:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                assert message["status"] == 204

        await self.shell(scope_of(make_request(url, method="POST")), receive, send)
        self.epochs[url] += 1

    def purges(self, url: str) -> None:
        self.suite.purge(url)
        self.epochs[url] += 1

    async def comes_to_rest(self) -> None:
        for _ in range(1000):
            if all(asked.task.done() for asked in self.asked):
                break
            self.goes_on(0, "plain")
            await asyncio.sleep(0)
        results = await asyncio.gather(*(a.task for a in self.asked), return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        assert not self.calls
        assert len(self.suite.responses.flights) == 0
        assert followers(self.suite) == 0
        assert not self.suite.faults.counts


ORDERS = (*["plain"] * 9, *["length"] * 4, "public", "vary", "private", "large", "raise")
urls = st.sampled_from(URLS)
happenings = st.one_of(
    st.tuples(st.just("comes"), urls, st.sampled_from(USERS), st.sampled_from("ab")),
    st.tuples(st.just("comes"), st.just(URLS[0]), st.none(), st.just("a")),
    st.tuples(st.just("goes_on"), st.integers(0, 5), st.sampled_from(ORDERS)),
    st.tuples(st.just("goes_on"), st.integers(0, 5), st.just("plain")),
    st.tuples(st.just("leaves"), st.integers(0, 9)),
    st.tuples(st.just("posts"), urls),
    st.tuples(st.just("purges"), urls),
    st.tuples(st.just("passes"), st.sampled_from([0.5, 2.0, PATIENCE_S + 0.1, TTL_S])),
    st.tuples(st.just("turns"), st.integers(1, 4)),
)


async def play(clock: Clock, script: list[tuple[Any, ...]]) -> World:
    world = World(clock)
    for name, *args in script:
        if name == "passes":
            await asyncio.sleep(args[0])
        elif name == "turns":
            for _ in range(args[0]):
                await asyncio.sleep(0)
        elif name == "posts":
            await world.posts(*args)
        else:
            getattr(world, name)(*args)
            if name == "goes_on":
                await asyncio.sleep(0)
    await world.comes_to_rest()
    return world


def run(clock: Clock, script: list[tuple[Any, ...]]) -> World:
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        return runner.run(play(clock, script))


@pytest.fixture(scope="module")
def virtual_clock() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield stop_clocks(patch)


@given(script=st.lists(happenings, max_size=40))
def test_any_interleaving(virtual_clock: Clock, script: list[tuple[Any, ...]]) -> None:
    run(virtual_clock, script)


def test_long_random_interleavings(virtual_clock: Clock) -> None:
    """Longer than shrinking is good for; N plays from SEED."""
    seed = int(os.environ.get("SEED") or 1)
    for number in range(int(os.environ.get("N") or 15)):
        chance = random.Random(f"{seed} {number}")
        script = [random_happening(chance) for _ in range(300)]
        try:
            run(virtual_clock, script)
        except BaseException as fault:
            fault.add_note(f"SEED={seed}, play {number}")
            raise


def test_the_plays_do_meet_what_they_are_about(virtual_clock: Clock) -> None:
    """Hits, collapsed replies, retries and departures all happen in them."""
    chance = random.Random(3)
    world = run(virtual_clock, [random_happening(chance) for _ in range(2000)])
    serials = [asked.got["serial"] for asked in world.asked if asked.got]
    assert len(serials) > 1.3 * len(set(serials))
    assert sum(asked.task.cancelled() for asked in world.asked) > 20
    assert sum(world.epochs.values()) > 20


def random_happening(chance: random.Random) -> tuple[Any, ...]:
    name = chance.choices(
        ["comes", "goes_on", "leaves", "posts", "purges", "passes", "turns"],
        [40, 30, 4, 1, 1, 2, 14],
    )[0]
    match name:
        case "comes":
            user = chance.choice((*[None] * 6, *USERS))
            return (name, chance.choice(URLS), user, chance.choice("ab"))
        case "goes_on":
            return (name, chance.randrange(6), chance.choice(ORDERS))
        case "leaves":
            return (name, chance.randrange(10))
        case "passes":
            return (name, chance.choice([0.1, 0.5, 2.0, PATIENCE_S + 0.1, TTL_S / 2]))
        case "turns":
            return (name, chance.randrange(1, 4))
    return (name, chance.choice(URLS))


def test_threads_at_random() -> None:
    """The same promises where the machine chooses the order.

    A version is made first and announced once what was stored of the former one is void.
    """
    suite = Suite()
    made = dict.fromkeys(URLS, 0)
    announced = dict.fromkeys(URLS, 0)
    lock = Lock()

    def app(asked: Request) -> Response:
        if asked.method == "POST":
            return Response(204)
        varies = asked.target == "/varies"
        accept = asked.header("accept") if varies else None
        told = [asked.target, asked.header("cookie"), accept, made[asked.target]]
        head = (("Cache-Control", "max-age=60"), *([("Vary", "Accept")] if varies else []))
        body = iter([json.dumps(told).encode()])
        return Response(200, head, body, plan=Plan(tags=(asked.target,)))

    client = WSGIClient(suite, app)

    def renew(url: str, void: Callable[[], object]) -> None:
        with lock:
            made[url] += 1
            version = made[url]
        void()
        with lock:
            announced[url] = max(announced[url], version)

    def play(number: int) -> int:
        chance = random.Random(f"{os.environ.get('SEED') or 1} {number}")
        hits = 0
        for _ in range(150):
            url, user, accept = chance.choice(URLS), chance.choice(USERS), chance.choice("ab")
            what = chance.random()
            if what < 0.04:
                renew(url, partial(client.ask, url, method="POST", body=b"x"))
            elif what < 0.08:
                renew(url, partial(suite.purge, url))
            else:
                before = announced[url]
                headers = {"Accept": accept} | ({"Cookie": user} if user else {})
                reply = client.ask(url, headers)
                target, who, accepted, version = json.loads(reply.body)
                assert (target, who) == (url, user)
                assert accepted in {None, accept}
                assert version >= before
                hits += reply.cache.hit
        return hits

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(play, range(8))) > 50
    assert len(suite.responses.flights) == 0
    assert not suite.faults.counts
