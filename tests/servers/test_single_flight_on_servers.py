"""Two hundred cold requests on real servers make one call of the app."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.apps.servers import free_port, running, wait_for_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
def serving(name: str, directory: Path) -> Iterator[int]:
    """The port of a server of this kind, until the block ends."""
    port = free_port()
    where = f"127.0.0.1:{port}" if "gunicorn" in name else str(port)
    with running(directory, *SERVERS[name], where) as (process, log):
        wait_for_port(port, process, log)
        yield port


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
def test_all_cold_requests_for_one_page_make_one_call(name: str, tmp_path: Path) -> None:
    with serving(name, tmp_path) as port:
        answers = asyncio.run(ask_at_once(port, "/page", CLIENTS[name]))
        assert all(PAGE in answer for answer in answers)
        assert sum(b"; stored" in answer for answer in answers) == 1
        assert sum(b"; collapsed" in answer for answer in answers) > CLIENTS[name] // 2
        assert calls(port, "/page") == 1


@pytest.mark.parametrize("name", SERVERS)
def test_a_client_that_leaves_takes_no_other_with_it(name: str, tmp_path: Path) -> None:
    async def one_leaves(port: int) -> list[bytes]:
        leaver = asyncio.create_task(ask(port, "/left", leave_after_s=0.1))
        await asyncio.sleep(0.03)
        answers = await ask_at_once(port, "/left", 20)
        await leaver
        return answers

    with serving(name, tmp_path) as port:
        answers = asyncio.run(one_leaves(port))
        assert all(PAGE in answer for answer in answers)
        assert calls(port, "/left") <= 2
        again = asyncio.run(ask(port, "/left"))
        assert b"apsperf; hit" in again


@pytest.mark.parametrize("name", SERVERS)
def test_private_pages_are_made_for_each_and_do_not_queue(name: str, tmp_path: Path) -> None:
    with serving(name, tmp_path) as port:
        answers = asyncio.run(ask_at_once(port, "/private", 20))
        assert all(PAGE in answer for answer in answers)
        assert calls(port, "/private") == 20
