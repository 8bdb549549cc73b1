"""Where the time goes: sums by route, how much repeats, and what is said of it."""

from __future__ import annotations

import json
import random
from itertools import count
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.observe.leaks import LeakWatch
from apsperf_mw.observe.record import Costs, Finished
from apsperf_mw.observe.repeats import MOST_KEYS, WINDOWS_S, Repeats
from apsperf_mw.observe.report import report
from apsperf_mw.observe.tallies import MOST_ROUTES, OTHERS, Sketch, Tallies
from apsperf_mw.testing.messages import Request, Response
from tests.observe.support import MINUTE, page

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.testing.harness import Client

    Wrap = Callable[..., Client]


@given(st.lists(st.floats(1e-5, 1e4), min_size=1, max_size=200), st.floats(0.01, 1))
def test_a_quantile_is_off_by_two_percent_at_most(values: list[float], share: float) -> None:
    sketch = Sketch()
    sketch.add(values)
    ordered = sorted(values)
    rank = next(at for at in count(1) if at >= share * len(values))
    assert sketch.quantile(share) == pytest.approx(ordered[rank - 1], rel=0.021)


def test_a_sketch_of_anything_is_bounded() -> None:
    sketch = Sketch()
    sketch.add([10.0**power for power in range(-300, 300)])
    sketch.add([n / 1000 for n in range(100_000)])
    assert len(sketch._counts) < 700
    assert Sketch().quantile(0.5) == 0.0


def exact(keys: list[int], times: list[float], window_s: float) -> float:
    """The share of requests that repeat, counted one by one."""
    last: dict[int, float] = {}
    repeated = 0
    for key, now in zip(keys, times, strict=True):
        repeated += key in last and now - last[key] <= window_s
        last[key] = now
    return repeated / len(keys)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("keys", "skew"), [(50, 0.0), (3000, 0.7), (20_000, 0.9)])
def test_the_share_of_repeats_is_nearly_that_counted_one_by_one(
    seed: int, keys: int, skew: float
) -> None:
    draw = random.Random(seed)
    weights = [1 / (n + 1) ** skew for n in range(keys)]
    asked = draw.choices([draw.getrandbits(61) for _ in range(keys)], weights, k=20_000)
    times = [n * 0.25 for n in range(len(asked))]
    repeats = Repeats()
    for key, now in zip(asked, times, strict=True):
        repeats.add(key, now)
    assert len(repeats._last) <= MOST_KEYS
    for window_s in WINDOWS_S:
        assert repeats.share(window_s) == pytest.approx(exact(asked, times, window_s), abs=0.05)


def finished(route: str, n: int = 0, **more: Any) -> Finished:
    result, status = more.pop("result", "miss"), more.pop("status", 200)
    raw = ("GET", "http", route, status, "1.1", "", result)
    duration_s = more.pop("duration_s", 0.1)
    more.setdefault("app_s", duration_s)
    return Finished(raw, duration_s, 0.05, 1000.0 + n, **more)


def said(*requests: Finished, leaks: LeakWatch | None = None) -> dict[str, str]:
    """The verdicts on these requests, by route."""
    tallies = Tallies()
    tallies.add(list(requests))
    return {row.route: row.verdict for row in report(tallies, leaks).rows}


SHAPE = "SELECT * FROM tracks WHERE album_id = ?"


def test_an_n_plus_one_and_its_cure() -> None:
    costs = Costs(database_s=0.071, queries=41, shapes={SHAPE: 38, "SELECT 1": 3})
    told = said(*(finished("/albums", n, costs=costs, key=n % 20 + 1) for n in range(100)))
    assert told == {
        "/albums": "71% in 41 queries a request, 38 of one shape (N+1); cached 0%; 80% of the "
        "requests repeat within 300 s: cache it (short) and save ~0.081 app-seconds per second"
    }


VERDICTS: list[tuple[dict[str, Any], str]] = [
    ({}, "nothing stands out"),
    ({"result": "hit", "app_s": 0.0}, "cached 100%: fine"),
    ({"status": 503}, "100% of its requests fail"),
    (
        {"costs": Costs(database_s=0.08, queries=2)},
        "80% of its time in the database (2.0 queries a request)",
    ),
    ({"costs": Costs(cpu_s=0.09)}, "90% of its time is the CPU's: a profile would tell where"),
    (
        {"costs": Costs(queue_s=0.1, cpu_s=0.01)},
        "50% of its time is spent in the queue: more workers would help",
    ),
]


@pytest.mark.parametrize(("more", "verdict"), VERDICTS)
def test_what_is_said_of_a_route(more: dict[str, Any], verdict: str) -> None:
    assert said(*(finished("/one", n, **more) for n in range(60))) == {"/one": verdict}


def test_little_is_said_of_few_requests() -> None:
    assert said(*(finished("", n) for n in range(12))) == {
        "(unknown route)": "only 12 requests so far"
    }


def test_a_suspected_leak_is_in_the_verdict() -> None:
    leaks = LeakWatch()
    for n in range(1000):
        leaks.add("/one", 1024.0, n * (1 << 20))
    (verdict,) = said(*(finished("/one", n) for n in range(60)), leaks=leaks).values()
    assert verdict == "nothing stands out; a request leaves ~1024 bytes of memory behind"


def test_the_costliest_route_comes_first_and_shares_add_up() -> None:
    tallies = Tallies()
    tallies.add([finished("/quick", n, duration_s=0.01) for n in range(60)])
    tallies.add([finished("/slow", n, duration_s=0.09) for n in range(60)])
    told = report(tallies, None)
    assert [row.route for row in told.rows] == ["/slow", "/quick"]
    assert [row.app_share for row in told.rows] == pytest.approx([0.9, 0.1])
    assert told.requests == 120
    assert told.rows[0].p95_ms == pytest.approx(90, rel=0.03)
    assert json.loads(json.dumps(told.as_dict()))["rows"][1]["calls"] == 60
    lines = str(told).splitlines()
    assert lines[0] == "120 requests in 59 s"
    assert lines[2].split() == [
        "route",
        "calls",
        "p50",
        "p95",
        "p99",
        "app",
        "cpu",
        "db",
        "cached",
        "errors",
    ]
    assert lines[-2] == "/slow: nothing stands out"


def test_routes_past_the_most_share_a_row_and_names_are_safe() -> None:
    tallies = Tallies()
    for n in range(3 * MOST_ROUTES):
        tallies.add([finished(f"/{n}\x1b[31m")])
    told = report(tallies, None)
    assert len(told.rows) == MOST_ROUTES + 1
    assert OTHERS in [row.route for row in told.rows]
    assert "\x1b" not in str(told)


def test_the_report_of_an_app(wrap: Wrap) -> None:
    def app(request: Request) -> Response:
        if request.target.startswith("/slow"):
            sleep(0.005)
            return page()
        return page(*MINUTE)

    client = wrap(app)
    for n in range(60):
        client.ask(f"/slow/{n % 3}")
        client.ask("/quick")
    told = client.suite.report()
    (row,) = told.rows
    assert row.calls == 120
    assert row.results["hit"] == 59
    assert row.p99_ms > 5
    assert 0.4 < row.cached_share < 0.5
    assert "93% of the requests repeat within 300 s: cache it (short)" in row.verdict
