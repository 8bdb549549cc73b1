"""Purges reach all workers of real servers."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.admin.support import serving, until
from tests.apps.servers import Case, ask

WORKERS = 3
GUNICORN = "gunicorn --bind=127.0.0.1:0 --workers=3 --worker-class=sync tests.admin.workers:wsgi"


def body(port: int, target: str) -> str:
    return ask(port, Case(target)).body.decode()


def pages(port: int) -> dict[str, str]:
    """The page of each worker, by its process."""
    found: dict[str, str] = {}

    def all_have_answered() -> bool:
        pid, _, number = body(port, "/page").partition(":")
        found[pid] = number
        return len(found) == WORKERS

    until(all_have_answered)
    return found


@pytest.mark.parametrize("extra", [(), ("--preload",)], ids=["", "preload"])
def test_a_purge_in_one_worker_reaches_all(place: Path, extra: tuple[str, ...]) -> None:
    with serving(GUNICORN, Path.cwd(), *extra) as port:
        before = pages(port)
        assert pages(port) == before  # all have it stored
        body(port, "/purge")
        until(lambda: all(pages(port)[pid] != number for pid, number in before.items()))
        after = pages(port)
        assert pages(port) == after
        assert before.keys() == after.keys()


def test_a_worker_that_comes_later_serves_and_hears_too(place: Path) -> None:
    with serving(GUNICORN, Path.cwd()) as port:
        before = pages(port)
        os.kill(int(next(iter(before))), signal.SIGTERM)
        until(lambda: pages(port).keys() != before.keys())
        again = pages(port)
        body(port, "/purge")
        until(lambda: all(pages(port)[pid] != number for pid, number in again.items()))


def test_apps_of_other_namespaces_do_not_hear(place: Path, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    named, here = "APSPERF_CACHE__NAMESPACE", Path.cwd()
    there = f"{GUNICORN} --chdir={here}"
    with (
        serving(GUNICORN, here, **{named: "blue"}) as blue,
        serving(there, tmp_path / "log", **{named: "green"}) as green,
    ):
        before, was = pages(green), pages(blue)
        body(blue, "/purge")
        until(lambda: all(pages(blue)[pid] != number for pid, number in was.items()))
        assert pages(green) == before
