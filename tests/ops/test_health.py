"""Whether a process says that it lives, and that it takes requests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from apsperf_mw import Suite
from tests.observe.support import ROOT, make_client, plain

if TYPE_CHECKING:
    from apsperf_mw.testing.harness import Client

ON = {"enabled": True}


@pytest.fixture(params=["asgi", "wsgi"])
def shell(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def client_of(shell: str, **settings: Any) -> Client:
    return make_client(shell, plain, Suite(**settings))


def test_by_default_both_paths_are_the_apps(shell: str) -> None:
    client = client_of(shell)
    assert client.ask("/-/healthz").body == b"page"
    assert client.ask("/-/readyz").body == b"page"


def test_a_process_lives_and_is_ready(shell: str) -> None:
    client = client_of(shell, health=ON)
    for path, said in (("/-/healthz", b"alive\n"), ("/-/readyz", b"ready\n")):
        reply = client.ask(path)
        assert (reply.status, reply.body) == (200, said)
        assert reply.header("cache-control") == "no-store"
        assert reply.header("cache-status") is None
        assert client.ask(path, method="HEAD").body == b""
        refused = client.ask(path, method="POST")
        assert (refused.status, refused.header("allow")) == (405, "GET, HEAD")
    assert client.ask("/-/healthz/").body == b"page"
    assert client.ask("/").body == b"page"


def test_the_paths_are_those_of_the_settings(shell: str) -> None:
    client = client_of(shell, health={**ON, "live_path": "/live", "ready_path": "/ready"})
    assert client.ask("/live").body == b"alive\n"
    assert client.ask("/ready").body == b"ready\n"
    assert client.ask("/-/readyz").body == b"page"


def test_a_process_that_drains_is_not_ready_and_lives(shell: str) -> None:
    client = client_of(shell, health=ON)
    client.suite.drain()
    reply = client.ask("/-/readyz")
    assert (reply.status, reply.body) == (503, b"not ready: shutting down\n")
    assert client.ask("/-/healthz").status == 200
    assert client.ask("/").body == b"page"


def test_the_programs_own_checks_are_asked(shell: str) -> None:
    client = client_of(shell, health=ON)
    answers: list[Any] = [True]

    def check() -> object:
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    client.suite.readiness("database", check)
    assert client.ask("/-/readyz").status == 200
    for answer in (False, ConnectionError("gone")):
        answers[0] = answer
        assert client.ask("/-/readyz").body == b"not ready: database\n"
    answers[0] = None
    assert client.ask("/-/readyz").status == 200


def test_these_requests_are_not_counted(shell: str) -> None:
    client = client_of(shell, health=ON, exporter={"kind": "memory"})
    client.ask("/-/healthz")
    client.ask("/")
    assert client.suite.report().requests == 1
    client.suite.close()


TERMINATED = """
import os, signal, sys
from apsperf_mw import Suite
told = []
if sys.argv[1] == "handler":
    signal.signal(signal.SIGTERM, lambda *_: told.append(suite.health.draining))
suite = Suite(health={"enabled": True})
app = suite.wsgi(lambda environ, start_response: [b""])
os.kill(os.getpid(), signal.SIGTERM)
print(told)
"""


@pytest.mark.parametrize(("mode", "code"), [("handler", 0), ("none", -signal.SIGTERM)])
def test_what_was_to_happen_at_sigterm_happens(mode: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TERMINATED, mode],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    if mode == "handler":
        assert done.stdout == "[True]\n"
