"""Two hundred cold requests on real servers make one call of the app."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PAGE = b"page " * 400
SERVERS = {
    "uvicorn": ("-m", "uvicorn", "tests.servers.counting:asgi", "--log-level=warning", "--port"),
    "granian": (
        *("-m", "granian", "--interface", "asgi", "--log-level", "warning"),
        *("tests.servers.counting:asgi", "--port"),
    ),
    "gunicorn gthread": (
        *("-m", "gunicorn", "-k", "gthread", "--threads", "50", "--log-level=warning"),
        *("tests.servers.counting:wsgi", "--bind"),
    ),
}
CLIENTS = {"uvicorn": 200, "granian": 200, "gunicorn gthread": 50}


@contextmanager
def serving(name: str) -> Iterator[int]:
    """A server of this kind on a free port of the loopback, until the block ends."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port: int = chosen.getsockname()[1]
    where = f"127.0.0.1:{port}" if "gunicorn" in name else str(port)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    command = [sys.executable, *SERVERS[name], where]
    process = subprocess.Popen(command, cwd=ROOT, env=environ | {"PYTHONPATH": str(ROOT)})
    try:
        wait_for(port, process)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server has ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server does not listen")


async def ask(port: int, path: str, *, leave_after_s: float | None = None) -> bytes:
    """The whole answer as it came, or nothing where the client leaves before it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".encode())
    try:
        if leave_after_s is not None:
            await asyncio.sleep(leave_after_s)
            return b""
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


async def ask_at_once(port: int, path: str, clients: int) -> list[bytes]:
    return await asyncio.gather(*(ask(port, path) for _ in range(clients)))


def calls(port: int, path: str) -> int:
    answer = asyncio.run(ask(port, f"/calls{path}"))
    return int(answer.rpartition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("name", SERVERS)
def test_all_cold_requests_for_one_page_make_one_call(name: str) -> None:
    with serving(name) as port:
        answers = asyncio.run(ask_at_once(port, "/page", CLIENTS[name]))
        assert all(PAGE in answer for answer in answers)
        assert sum(b"; stored" in answer for answer in answers) == 1
        assert sum(b"; collapsed" in answer for answer in answers) > CLIENTS[name] // 2
        assert calls(port, "/page") == 1


@pytest.mark.parametrize("name", SERVERS)
def test_a_client_that_leaves_takes_no_other_with_it(name: str) -> None:
    async def one_leaves(port: int) -> list[bytes]:
        leaver = asyncio.create_task(ask(port, "/left", leave_after_s=0.1))
        await asyncio.sleep(0.03)
        answers = await ask_at_once(port, "/left", 20)
        await leaver
        return answers

    with serving(name) as port:
        answers = asyncio.run(one_leaves(port))
        assert all(PAGE in answer for answer in answers)
        assert calls(port, "/left") <= 2
        again = asyncio.run(ask(port, "/left"))
        assert b"apsperf; hit" in again


@pytest.mark.parametrize("name", SERVERS)
def test_private_pages_are_made_for_each_and_do_not_queue(name: str) -> None:
    with serving(name) as port:
        answers = asyncio.run(ask_at_once(port, "/private", 20))
        assert all(PAGE in answer for answer in answers)
        assert calls(port, "/private") == 20
