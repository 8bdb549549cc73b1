"""One request fetches, the others wait; nobody waits in vain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from apsperf_mw import Suite
from apsperf_mw.cache.flights import Flights, Outcome
from apsperf_mw.exchange import Exchange
from apsperf_mw.testing.forms import make_request
from apsperf_mw.testing.harness import ASGIClient, Client, WSGIClient
from apsperf_mw.testing.messages import Gate, Reply, Request, Response
from tests.core.support import MINUTE, followers, fresh, parts, replies

Wrap = Callable[..., Client]


class Broken(Exception):
    pass


def when(condition: Callable[[], bool], *gates: Gate) -> Callable[[], bool]:
    """Opens the gates once the condition holds."""

    def meanwhile() -> bool:
        if not condition():
            return False
        for gate in gates:
            gate.open()
        return True

    return meanwhile


def nobody_waits(client: Client, count: int, gate: Gate) -> Callable[[], bool]:
    """Opens the gate once so many are at it, each for himself."""

    def meanwhile() -> bool:
        if waiting := followers(client.suite):
            gate.open()
            pytest.fail(f"{waiting} wait for another")
        return when(lambda: gate.arrivals == count, gate)()

    return meanwhile


@pytest.mark.parametrize("crowd_size", [200])
def test_200_cold_requests_make_one_call(crowd: Wrap, crowd_size: int) -> None:
    gate = Gate()
    client: Client = crowd(lambda _: fresh(body=parts(gate, b"page")))
    opened = when(lambda: followers(client.suite) == crowd_size - 1, gate)
    got = replies(client.send_all([make_request()] * crowd_size, meanwhile=opened))
    assert client.calls == 1
    assert {reply.body for reply in got} == {b"page"}
    assert sum(reply.cache.stored for reply in got) == 1
    assert sum(reply.cache.collapsed for reply in got) == crowd_size - 1
    assert len(client.suite.responses.flights) == 0
    assert client.ask().cache.hit


def test_an_uncacheable_head_lets_the_followers_go(crowd: Wrap) -> None:
    """At the head already: the leader's body is still being made when they are served."""
    hold, amid = Gate(), Gate()

    def app(_: Request) -> Response:
        first = client.calls == 1
        body: Iterator[bytes | Gate] = iter([b"a", amid, b"b"]) if first else iter([b"ab"])
        return Response(200, (("Cache-Control", "private"),), body, hold=hold if first else None)

    client: Client = crowd(app)

    def meanwhile() -> bool:
        if followers(client.suite) == 9:
            hold.open()
        if client.calls == 10:
            amid.open()
            return True
        return False

    got = replies(client.send_all([make_request()] * 10, meanwhile=meanwhile))
    assert [reply.body for reply in got] == [b"ab"] * 10
    assert client.calls == 10


def test_nobody_waits_again_for_a_url_found_not_storable(crowd: Wrap, clock: Any) -> None:
    gate = Gate()

    def app(_: Request) -> Response:
        held = 2 <= client.calls <= 4
        return Response(200, (), [b"page"], hold=gate if held else None)

    client: Client = crowd(app)
    client.ask()
    replies(client.send_all([make_request()] * 3, meanwhile=nobody_waits(client, 3, gate)))
    assert client.calls == 4
    clock.move(11)  # then it may have changed, and one asks again for all
    assert client.suite.responses._unstorable
    client.ask()
    assert len(client.suite.responses.flights) == 0


def test_a_url_that_becomes_storable_collapses_again(crowd: Wrap) -> None:
    gate = Gate()
    headers: list[tuple[str, str]] = []
    client: Client = crowd(
        lambda r: Response(200, tuple(headers), parts(*([gate] if headers else []), b"page"))
    )
    client.ask()
    headers.extend(MINUTE)
    gate.open()
    client.ask()
    assert client.ask().cache.hit
    client.ask(method="POST")
    assert not client.suite.responses._unstorable


def test_a_body_over_the_limit_lets_the_followers_go(crowd: Wrap) -> None:
    hold, amid = Gate(), Gate()

    def app(_: Request) -> Response:
        first = client.calls == 1
        parts: list[bytes | Gate] = [hold, b"x" * 60, b"x" * 60, amid, b"end"]
        return fresh(body=iter(parts if first else [b"short"]))

    client: Client = crowd(app, max_entry_bytes=100)

    def meanwhile() -> bool:
        if followers(client.suite) == 4:
            hold.open()
        if client.calls == 5:
            amid.open()
            return True
        return False

    got = replies(client.send_all([make_request()] * 5, meanwhile=meanwhile))
    assert sorted(len(reply.body) for reply in got) == [5] * 4 + [123]
    assert len(client.suite.responses.flights) == 0


def test_nobody_waits_longer_than_his_patience(crowd: Wrap) -> None:
    slow, own = Gate(), Gate()
    client: Client = crowd(
        lambda _: fresh(body=parts(slow, b"slow") if client.calls == 1 else parts(own, b"own")),
        patience_s=0.05,
    )
    opened = when(lambda: slow.arrivals + own.arrivals == 5, own)

    def meanwhile() -> bool:
        if opened() and len(client.suite.responses.flights) == 1:  # the slow one alone is left
            slow.open()
            return True
        return False

    got = replies(client.send_all([make_request()] * 5, meanwhile=meanwhile))
    assert sorted(reply.body for reply in got) == [b"own"] * 4 + [b"slow"]
    assert client.ask().body == b"own"  # the younger fetch is kept, not the slow one
    assert len(client.suite.responses.flights) == 0


def test_without_patience_everybody_goes_alone(crowd: Wrap) -> None:
    gate = Gate()
    client: Client = crowd(lambda _: fresh(body=parts(gate, b"page")), patience_s=0)
    opened = nobody_waits(client, 5, gate)
    replies(client.send_all([make_request()] * 5, meanwhile=opened))
    assert client.calls == 5
    assert client.ask().cache.hit


def test_when_the_app_raises_each_asks_for_itself(crowd: Wrap) -> None:
    gate = Gate()
    client: Client = crowd(
        lambda _: fresh(hold=gate if client.calls == 1 else None, error=Broken(client.calls))
    )
    opened = when(lambda: followers(client.suite) == 9, gate)
    outcomes = client.send_all([make_request()] * 10, meanwhile=opened)
    assert all(isinstance(outcome, Broken) for outcome in outcomes)
    assert client.calls == 10
    assert len(client.suite.responses.flights) == 0


def test_when_the_app_raises_amid_the_body_each_asks_for_itself(crowd: Wrap) -> None:
    gate = Gate()

    def broken() -> Iterator[bytes | Gate]:
        yield gate
        yield b"half"
        raise Broken

    client: Client = crowd(lambda _: fresh(body=broken() if client.calls == 1 else [b"page"]))
    opened = when(lambda: followers(client.suite) == 9, gate)
    outcomes = client.send_all([make_request()] * 10, meanwhile=opened)
    assert sum(isinstance(outcome, Broken) for outcome in outcomes) == 1
    assert {reply.body for reply in outcomes if isinstance(reply, Reply)} == {b"page"}
    assert len(client.suite.responses.flights) == 0


@pytest.mark.parametrize("accept", ["text/event-stream", "text/html, text/event-stream;q=0.9"])
def test_event_streams_never_collapse(crowd: Wrap, accept: str) -> None:
    gate = Gate()
    client: Client = crowd(lambda _: fresh(body=parts(gate, b"data: 1\n\n")))
    request = make_request(headers={"Accept": accept})
    opened = nobody_waits(client, 4, gate)
    replies(client.send_all([request] * 4, meanwhile=opened))
    assert client.calls == 4


def test_conditional_requests_do_not_lead_others(crowd: Wrap) -> None:
    gate = Gate()

    def app(request: Request) -> Response:
        if request.header("if-none-match"):
            return Response(304, MINUTE, [], hold=gate)
        return fresh(hold=gate)

    client: Client = crowd(app)
    conditional = make_request(headers={"If-None-Match": '"v"'})
    requests = [conditional, make_request(), conditional]
    opened = nobody_waits(client, 3, gate)
    got = replies(client.send_all(requests, meanwhile=opened))
    assert [reply.status for reply in got] == [304, 200, 304]


@pytest.mark.parametrize("fields", [{"Cookie": "a=1"}, {"Authorization": "Basic x"}])
def test_users_do_not_wait_for_what_is_not_for_them(crowd: Wrap, fields: dict[str, str]) -> None:
    gate = Gate()

    def app(request: Request) -> Response:
        name = next(iter(fields))
        return fresh(body=parts(gate, str(request.header(name)).encode()))

    client: Client = crowd(app)
    requests = [make_request(), make_request(headers=fields)]
    got = replies(client.send_all(requests, meanwhile=nobody_waits(client, 2, gate)))
    assert [reply.body for reply in got] == [b"None", next(iter(fields.values())).encode()]


def test_what_a_url_varies_on_is_unknown_at_first_and_no_wrong_variant_is_given(
    crowd: Wrap,
) -> None:
    gate = Gate()

    def app(request: Request) -> Response:
        accept = str(request.header("accept")).encode()
        return fresh(("Vary", "Accept"), body=parts(gate, accept))

    client: Client = crowd(app)
    requests = [make_request(headers={"Accept": "abc"[number % 3]}) for number in range(30)]
    opened = when(lambda: followers(client.suite) == 29, gate)
    got = replies(client.send_all(requests, meanwhile=opened))
    for request, reply in zip(requests, got, strict=True):
        assert reply.body.decode() == request.header("accept")
    assert client.calls == 3
    # Now it is known: variants are fetched side by side.
    client.ask(method="POST")
    side_by_side = Gate()
    client._app = lambda r: fresh(
        ("Vary", "Accept"), body=parts(side_by_side, str(r.header("accept")).encode())
    )
    opened = when(
        lambda: side_by_side.arrivals == 3 and followers(client.suite) == 27, side_by_side
    )
    replies(client.send_all(requests, meanwhile=opened))


def test_key_headers_are_never_mixed_up_in_a_flight(crowd: Wrap) -> None:
    gate = Gate()
    client: Client = crowd(
        lambda r: fresh(body=parts(gate, str(r.header("x-tenant")).encode())),
        key_headers=["x-tenant"],
    )
    requests = [make_request(headers={"X-Tenant": "ab"[number % 2]}) for number in range(10)]
    opened = when(lambda: followers(client.suite) + client.calls == 10, gate)
    got = replies(client.send_all(requests, meanwhile=opened))
    assert [reply.body for reply in got] == [b"a", b"b"] * 5


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_when_the_leader_is_cancelled_another_is_elected(backend: str) -> None:
    gate = Gate()
    client = ASGIClient(Suite(), lambda _: fresh(body=parts(gate, b"page")), backend)

    async def scenario() -> list[Any]:
        got: list[Any] = []

        async def follow() -> None:
            got.append(await client.asend(make_request()))

        async with anyio.create_task_group() as tasks:
            leader = anyio.CancelScope()

            async def lead() -> None:
                with leader:
                    await client.asend(make_request())

            tasks.start_soon(lead)
            while not client.calls:
                await anyio.sleep(0)
            for _ in range(9):
                tasks.start_soon(follow)
            while followers(client.suite) < 9:
                await anyio.sleep(0)
            leader.cancel()
            while client.calls < 2 or followers(client.suite) < 8:
                await anyio.sleep(0)
            gate.open()
        return got

    got = anyio.run(scenario, backend=backend)
    assert [reply.body for reply in got] == [b"page"] * 9
    assert client.calls == 2
    assert len(client.suite.responses.flights) == 0


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_followers_may_leave(backend: str) -> None:
    gate = Gate()
    client = ASGIClient(Suite(), lambda _: fresh(body=parts(gate, b"page")), backend)

    async def scenario() -> Any:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.asend, make_request())
            while not client.calls:
                await anyio.sleep(0)
            async with anyio.create_task_group() as leaving:
                for _ in range(5):
                    leaving.start_soon(client.asend, make_request())
                while followers(client.suite) < 5:
                    await anyio.sleep(0)
                leaving.cancel_scope.cancel()
            gate.open()
        return await client.asend(make_request())

    assert anyio.run(scenario, backend=backend).cache.hit
    assert client.calls == 1
    assert len(client.suite.responses.flights) == 0


def test_a_leader_who_closes_early_gives_the_lead_away() -> None:
    """WSGI: the server closes the body of a client that has gone."""
    suite = Suite()
    client = WSGIClient(suite, lambda _: fresh(body=iter([b"ab", b"cd"])))
    body = client.shell(client.environ(make_request()), lambda *_: None)
    assert next(iter(body)) == b"ab"
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(client.ask) for _ in range(3)]
        while followers(suite) < 3:
            pass
        body.close()
        assert [future.result().body for future in waiting] == [b"abcd"] * 3
    assert client.calls == 2
    assert len(suite.responses.flights) == 0


def test_one_suite_behind_both_shells_two_loops_and_ten_threads() -> None:
    suite = Suite()
    gate = Gate()

    def app(request: Request) -> Response:
        return fresh(body=parts(gate, request.target.encode()))

    loops = [ASGIClient(suite, app, "asyncio"), ASGIClient(suite, app, "asyncio")]
    plain = WSGIClient(suite, app)
    targets = ["/a", "/b?c=1", "/caf%C3%A9"]
    each = [make_request(target) for target in targets]
    expected = len(targets) * (2 * 10 + 10)

    def all_there() -> bool:
        calls = plain.calls + sum(loop.calls for loop in loops)
        return calls + followers(suite) == expected and calls == gate.arrivals

    with ThreadPoolExecutor(12) as threads:
        futures = [threads.submit(loop.send_all, each * 10) for loop in loops]
        futures += [threads.submit(plain.send_all, each) for _ in range(10)]
        while not all_there():
            anyio.run(anyio.sleep, 0.001)
        gate.open()
        got = [replies(future.result()) for future in futures]
    assert plain.calls + sum(loop.calls for loop in loops) == len(targets)
    for outcomes in got:
        assert [reply.body for reply in outcomes] == [
            target.encode() for target in targets * (len(outcomes) // len(targets))
        ]
    assert len(suite.responses.flights) == 0


def test_a_hit_for_a_request_that_waited_has_its_whole_head(clock: Any) -> None:
    """It began before the entry was born, so that the age is negative at first sight."""
    gate = Gate()
    suite = Suite()

    def app(request: Request) -> Response:
        return fresh(("X-Kept", "1"), hold=gate if client.calls == 1 else None)

    client = ASGIClient(suite, app)

    async def scenario() -> Any:
        got = []
        async with anyio.create_task_group() as tasks:
            leader = anyio.CancelScope()

            async def lead() -> None:
                with leader:
                    await client.asend(make_request())

            async def follow() -> None:
                got.append(await client.asend(make_request()))

            tasks.start_soon(lead)
            while not gate.arrivals:
                await anyio.sleep(0)
            tasks.start_soon(follow)
            while followers(suite) < 1:
                await anyio.sleep(0)
            clock.move(1.5)
            await client.asend(make_request(headers={"If-None-Match": '"v"'}))
            leader.cancel()
        return got[0]

    reply = anyio.run(scenario)
    assert (reply.body, reply.cache.hit or reply.cache.collapsed) == (b"page", True)
    assert (reply.header("x-kept"), reply.header("age")) == ("1", "0")


# The flights themselves


NOBODY = Exchange({}, "GET", 0.0)


def test_a_follower_who_comes_late_is_woken_at_once() -> None:
    flights = Flights()
    flight, leads = flights.board(("k",), (0, ()), 0, NOBODY, alone=False)
    assert leads
    assert flights.board(("k",), (0, ()), 0, NOBODY, alone=False) == (flight, False)
    flights.land(flight, Outcome.UNCACHEABLE)
    woken: list[int] = []
    flights.join(flight, lambda: woken.append(1))
    assert woken == [1]
    assert flights.board(("k",), (0, ()), 0, NOBODY, alone=False)[1]


def test_a_follower_whose_loop_is_closed_keeps_nobody_from_waking() -> None:
    flights = Flights()
    flight, _ = flights.board(("k",), (0, ()), 0, NOBODY, alone=False)
    woken: list[int] = []

    def closed() -> None:
        raise RuntimeError("Event loop is closed")

    flights.join(flight, closed)
    flights.join(flight, lambda: woken.append(1))
    flights.land(flight, Outcome.FAILED)
    assert woken == [1]


def test_a_failing_commit_ends_the_flight_all_the_same() -> None:
    flights = Flights()
    flight, _ = flights.board(("k",), (0, ()), 0, NOBODY, alone=False)

    def put(key: Any, entry: Any, ttl_s: float) -> None:
        raise OSError(f"disk full: {key} {entry} {ttl_s}")

    with pytest.raises(OSError, match="disk full"):
        flights.land(flight, Outcome.STORED, None, put, 1.0)
    assert len(flights) == 0
    assert flight.outcome is Outcome.STORED


def test_a_void_flight_is_not_committed() -> None:
    flights = Flights()
    flight, _ = flights.board(("k",), (0, ()), 0, NOBODY, alone=False)
    flights.void(("k",))
    assert flight.outcome is Outcome.FAILED
    assert not flights.land(flight, Outcome.STORED, None, lambda *_: pytest.fail("committed"), 1.0)
    assert len(flights) == 0


def test_an_older_fetch_of_the_same_lane_does_not_replace_a_younger_one() -> None:
    flights = Flights()
    older, _ = flights.board(("k",), (0, ()), 0, NOBODY, alone=True)
    foreign, _ = flights.board(("k",), (1, ()), 0, NOBODY, alone=True)
    younger, _ = flights.board(("k",), (0, ()), 0, NOBODY, alone=True)
    assert flights.land(younger, Outcome.STORED)
    assert not flights.land(older, Outcome.STORED)
    assert flights.land(foreign, Outcome.STORED)
    assert len(flights) == 0
