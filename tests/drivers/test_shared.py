"""Workers that share a store: one call for a crowd, purges that reach all, nothing old kept."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.servers import Server, until

APP = Path(__file__).parent / "shared_app.py"


class Worker:
    """A process of its own."""

    def __init__(self, url: str, calls: Path, takes_s: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(APP), url, str(calls), str(takes_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, **order: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def do(self, **order: Any) -> Any:
        self.tell(**order)
        return self.hear()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


Crew = Callable[..., list[Worker]]


@pytest.fixture(params=["redis", "tiered", "file"])
def url(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> str:
    patient = f"{server.url}?timeout_s=5&connect_timeout_s=5"  # on a busy machine nobody gives up
    kinds = {
        "redis": patient,
        "tiered": f"tiered+{patient}",
        "file": f"file://{tmp_path}/store",
    }
    return kinds[request.param]


@pytest.fixture
def crew(url: str, tmp_path: Path) -> Iterator[Crew]:
    """Makes workers that share the store; `calls` counts the calls of their app."""
    made: list[Worker] = []

    def crew(number: int, takes_s: float = 0.0) -> list[Worker]:
        made.extend(Worker(url, tmp_path / "calls", takes_s) for _ in range(number))
        for worker in made:
            worker.do(ask="/ready")
        (tmp_path / "calls").write_bytes(b"")
        return made

    yield crew
    for worker in made:
        worker.end()


def calls(tmp_path: Path) -> int:
    return len((tmp_path / "calls").read_bytes())


def test_a_crowd_over_processes_makes_one_call(crew: Crew, tmp_path: Path) -> None:
    workers = crew(4, 0.2)
    for worker in workers:
        worker.tell(ask="/page", times=50)
    bodies = [body for worker in workers for body in worker.hear()]
    assert len(bodies) == 200
    assert len(set(bodies)) == 1
    assert calls(tmp_path) == 1


def test_what_is_not_kept_holds_nobody_up_twice(crew: Crew, tmp_path: Path) -> None:
    workers = crew(3, 0.1)
    for worker in workers:
        worker.tell(ask="/private", times=4)
    bodies = [body for worker in workers for body in worker.hear()]
    assert len(set(bodies)) == calls(tmp_path) == 12
    began = time.perf_counter()
    for worker in workers:
        worker.tell(ask="/private", times=4)
    assert all(len(worker.hear()) == 4 for worker in workers)
    assert time.perf_counter() - began < 5  # nobody waited for another's patience


def test_a_stale_page_is_fetched_anew_by_one_process(crew: Crew, tmp_path: Path) -> None:
    workers = crew(3, 0.4)
    (old,) = workers[0].do(ask="/stale")
    assert calls(tmp_path) == 1
    for worker in workers:
        worker.tell(ask="/stale", times=5)
    assert {body for worker in workers for body in worker.hear()} == {old}
    time.sleep(0.2)  # while it is fetched
    for worker in workers:
        worker.tell(ask="/stale", times=5)
    assert {body for worker in workers for body in worker.hear()} == {old}
    assert calls(tmp_path) == 2


def test_a_purge_reaches_every_process(crew: Crew) -> None:
    one, other = crew(2)
    (page,) = one.do(ask="/page")
    assert other.do(ask="/page", times=3) == [page] * 3
    one.do(purge=["page"])
    (newer,) = one.do(ask="/page")
    assert newer != page
    until(lambda: other.do(ask="/page") == [newer], "the other serves what is new", 1.0)
    other.do(purge=["other"])
    assert one.do(ask="/page") == [newer]


def test_a_purge_takes_what_is_being_made_elsewhere(crew: Crew) -> None:
    slow, other = crew(2, 0.4)
    slow.tell(ask="/page")
    time.sleep(0.2)
    other.do(purge=["page"])
    (old,) = slow.hear()
    assert other.do(ask="/page") != [old]


def test_an_unsafe_request_makes_void_what_is_being_made_elsewhere(crew: Crew) -> None:
    slow, other = crew(2, 0.4)
    slow.tell(ask="/page")
    time.sleep(0.2)
    other.do(post="/page")
    (old,) = slow.hear()
    (new,) = other.do(ask="/page")
    assert new != old
    until(lambda: slow.do(ask="/page") == [new], "what is new is served", 1.0)


@pytest.mark.parametrize("url", ["redis", "tiered"], indirect=True)
def test_what_a_hung_store_was_asked_for_holds_nobody_up(crew: Crew, server: Server) -> None:
    workers = crew(2)
    for worker in workers:
        worker.do(ask="/page")
    workers[0].do(purge=["page"])
    for worker in workers:
        worker.do(ask="/other")  # now they know, and go straight for the lease of what they have
    server.freeze()
    for worker in workers:
        worker.tell(ask="/page", times=20)
    assert [len(worker.hear()) for worker in workers] == [20, 20]
    server.thaw()
    began = time.perf_counter()
    until(lambda: len({b for w in workers for b in w.do(ask="/page", times=20)}) == 1, "hits", 4.0)
    assert time.perf_counter() - began < 4  # the patience of these workers is 20 s


def test_a_worker_that_is_killed_does_not_take_the_page_along(crew: Crew) -> None:
    doomed, other = crew(2, 0.3)
    doomed.tell(ask="/page")
    time.sleep(0.15)
    doomed.process.kill()
    doomed.process.wait(10)
    other.tell(ask="/elsewhere")
    assert len(other.hear()) == 1
