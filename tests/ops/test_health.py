"""Whether a process says that it lives, and that it takes requests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from threading import Event, Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio import to_thread

from apsperf_mw import Suite
from apsperf_mw.errors import SettingError
from apsperf_mw.runtime.loop import MOST_HANGING
from tests.observe.raw import scope
from tests.observe.support import ROOT, make_client, plain, wait_until

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


@pytest.mark.parametrize("form", ["function", "object", "plain"])
def test_checks_may_be_async(shell: str, form: str) -> None:
    client = client_of(shell, health=ON)
    answers: list[Any] = [True]

    async def check() -> object:
        await anyio.sleep(0)
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    class Check:
        async def __call__(self) -> object:
            return await check()

    forms: dict[str, Any] = {
        "function": check,
        "object": Check(),
        "plain": partial(plainly, check),
    }
    client.suite.readiness("pool", forms[form])
    assert client.ask("/-/readyz").status == 200
    for answer in (False, ConnectionError("gone")):
        answers[0] = answer
        assert client.ask("/-/readyz").body == b"not ready: pool\n"
    answers[0] = None
    assert client.ask("/-/readyz").status == 200


def plainly(check: Any) -> Any:
    return check()


def test_an_async_check_has_its_time(shell: str) -> None:
    client = client_of(shell, health=ON)
    client.suite.readiness("pool", anyio.sleep_forever, timeout_s=0.05)
    began = monotonic()
    assert client.ask("/-/readyz").body == b"not ready: pool\n"
    assert monotonic() - began < 5
    assert client.ask("/-/healthz").status == 200


def test_a_check_that_hangs_holds_no_more_than_a_few_threads(shell: str) -> None:
    client = client_of(shell, health=ON)
    gate, asked = Event(), []

    def hang() -> None:
        asked.append(1)
        gate.wait(20)

    client.suite.readiness("disk", hang, timeout_s=0.1)
    if shell == "asgi":
        began = monotonic()
        assert client.ask("/-/readyz").body == b"not ready: disk\n"
        assert monotonic() - began < 5
    else:  # the thread that asks is the server's, and hangs as it did
        Thread(target=client.ask, args=("/-/readyz",), daemon=True).start()
        assert wait_until(lambda: bool(asked))
        sleep(0.15)
    for _ in range(20):
        assert client.ask("/-/readyz").body == b"not ready: disk\n"
    assert len(asked) <= MOST_HANGING  # the first has just begun when the next is asked
    gate.set()
    assert wait_until(lambda: client.ask("/-/readyz").status == 200)


def test_a_flood_of_probes_leaves_the_apps_threads_alone() -> None:
    suite = Suite(health=ON)
    gate, hung = Event(), []

    def hang() -> None:
        hung.append(1)
        gate.wait(20)

    suite.readiness("disk", hang, timeout_s=0.3)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await to_thread.run_sync(bool)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    wrapped: Any = suite.asgi(app)

    async def all_at_once() -> None:
        said: list[int] = []

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                said.append(message["status"])

        async with anyio.create_task_group() as group:
            for _ in range(60):
                group.start_soon(wrapped, scope(path="/-/readyz"), None, send)
            await anyio.sleep(0.1)
            with anyio.fail_after(5):
                await wrapped(scope(path="/"), None, send)
            assert said == [204]
        assert said[1:] == [503] * 60

    anyio.run(all_at_once)
    assert len(hung) <= MOST_HANGING
    gate.set()


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), 1e9])
def test_a_time_that_is_none_is_refused(timeout_s: float) -> None:
    with pytest.raises(SettingError, match="timeout_s"):
        Suite(health=ON).readiness("disk", lambda: None, timeout_s=timeout_s)


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


UNHEARD = """
import os, signal, threading
from uvicorn import Config, Server
from apsperf_mw import Suite
said = []
suite = Suite(health={"enabled": True})
app = suite.wsgi(None)
environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/-/readyz"}

def ask():
    app(environ, lambda status, headers: said.append(status[:3]))

def ask_in_thread():
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()

signal.signal(signal.SIGTERM, lambda *_: print(said))
server = Server(Config(app, interface="wsgi"))
with server.capture_signals():
    ask_in_thread()
    os.kill(os.getpid(), signal.SIGTERM)
    ask_in_thread()
"""


def test_threads_learn_of_sigterm_from_the_server_that_hears_of_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNHEARD],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "['200', '503']\n"), done.stderr
