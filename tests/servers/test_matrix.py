"""Each server with each framework: hits, ranges, streams, clients that leave, and an end in order.

All of it where MATRIX is `all`; else each server and each framework once.
"""

from __future__ import annotations

import os
import signal
import socket
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.apps.servers import free_port, running, wait_for_port
from tests.observe.support import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ASGI = {
    "uvicorn": ("uvicorn", "{site}", "--port={port}", "--no-access-log"),
    "hypercorn": ("hypercorn", "{site}", "--bind=127.0.0.1:{port}"),
    "granian": ("granian", "--interface=asgi", "{site}", "--port={port}"),
    "gunicorn asgi": ("gunicorn", "-k", "asgi", "{site}", "--bind=127.0.0.1:{port}"),
    "daphne": ("daphne", "-p", "{port}", "{site}"),
}
WSGI = {
    "gunicorn sync": ("gunicorn", "{site}", "--bind=127.0.0.1:{port}"),
    "gunicorn gthread": ("gunicorn", "-k", "gthread", "--threads=4", "{site}",
                         "--bind=127.0.0.1:{port}"),
    "waitress": ("waitress", "--listen=127.0.0.1:{port}", "{site}"),
    "granian wsgi": ("granian", "--interface=wsgi", "{site}", "--port={port}"),
}  # fmt: skip
EACH = [
    *((server, site) for server in ASGI for site in ("fastapi", "django_asgi")),
    *((server, site) for server in WSGI for site in ("flask", "django_wsgi")),
]
ONCE = [
    ("uvicorn", "fastapi"),
    ("hypercorn", "django_asgi"),
    ("granian", "fastapi"),
    ("gunicorn asgi", "django_asgi"),
    ("daphne", "django_asgi"),
    ("gunicorn sync", "django_wsgi"),
    ("gunicorn gthread", "flask"),
    ("waitress", "flask"),
    ("granian wsgi", "flask"),
]
PAIRS = EACH if os.environ.get("MATRIX") == "all" else ONCE
# It holds in memory what its client has not read yet, bare too.
HOLDS = {"daphne"}
# FastAPI's lifespan is not for daphne, which has none.
NO_LIFESPAN = {"daphne"}
BIG_MB = int(os.environ.get("BIG_MB", "200"))
# A server may keep some for a slow reader: waitress 16 MB.
GROWTH_BYTES = 24 * 2**20
SITE = "tests.servers.sites:app"


class Served:
    """A server under test, and what its site leaves behind."""

    def __init__(self, server: str, site: str, place: Path, port: int, process: Any) -> None:
        self.server, self.site = server, site
        self.place, self.port, self.process = place, port, process

    def ask(
        self, path: str, headers: dict[str, str] | None = None, method: str = "GET"
    ) -> tuple[int, dict[str, str], bytes]:
        """A request on a connection of its own."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return response.status, fields, response.read()

    def rss_bytes(self) -> int:
        """The memory of the server and its workers."""
        processes = [psutil.Process(self.process.pid)]
        processes += processes[0].children(recursive=True)
        return sum(each.memory_info().rss for each in processes)


@contextmanager
def serving(server: str, site: str, place: Path) -> Iterator[Served]:
    port = free_port()
    filled = [each.format(port=port, site=SITE) for each in (ASGI | WSGI)[server]]
    environ = {"SITE": site, "SITE_PLACE": str(place)}
    with running(place, "-m", *filled, environ=environ) as (process, log):
        wait_for_port(port, process, log)
        yield Served(server, site, place, port, process)


def on(pairs: list[tuple[str, str]]) -> pytest.MarkDecorator:
    """Run a test on these servers with these sites, each started once."""
    return pytest.mark.parametrize("served", pairs, indirect=True, ids=" ".join, scope="module")


@pytest.fixture(scope="module")
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    server, site = request.param
    with serving(server, site, tmp_path_factory.mktemp("site")) as made:
        yield made


@on(PAIRS)
def test_a_hit_a_part_and_a_head_come_from_what_was_stored(served: Served) -> None:
    first, second = served.ask("/page"), served.ask("/page")
    assert (first[0], "stored" in first[1]["cache-status"]) == (200, True)
    assert second[1]["cache-status"].startswith("apsperf; hit")
    assert first[2] == second[2]
    part = served.ask("/page", {"Range": "bytes=0-3"})
    assert (part[0], part[2]) == (206, b"page")
    head = served.ask("/page", method="HEAD")
    assert (head[0], head[2]) == (200, b"")
    assert head[1]["content-length"] == str(len(first[2]))
    assert not served.ask("/page", {"Cookie": "a=1"})[1]["cache-status"].startswith("apsperf; hit")


@on(PAIRS)
def test_the_first_chunk_is_there_before_the_second_is_made(served: Served) -> None:
    (served.place / "go").unlink(missing_ok=True)
    with closing(HTTPConnection("127.0.0.1", served.port, timeout=20)) as connection:
        connection.request("GET", "/held")
        response = connection.getresponse()
        assert response.read(6) == b"first "
        (served.place / "go").write_text("1")
        assert response.read() == b"second"


@on(PAIRS)
def test_an_app_is_told_that_its_client_has_left(served: Served) -> None:
    (served.place / "closed").unlink(missing_ok=True)
    with closing(HTTPConnection("127.0.0.1", served.port, timeout=20)) as connection:
        connection.request("GET", "/endless")
        assert connection.getresponse().read(2**20)
    assert wait_until((served.place / "closed").exists)
    assert served.ask("/page")[0] == 200


@on([pair for pair in PAIRS if pair[0] not in HOLDS])
def test_a_large_stream_is_not_held(served: Served) -> None:
    served.ask("/big/2")
    seen, over = [before := served.rss_bytes()], Event()

    def look() -> None:
        while not over.wait(0.02):
            seen.append(served.rss_bytes())

    looker = Thread(target=look)
    looker.start()
    length = 0
    try:
        with closing(HTTPConnection("127.0.0.1", served.port, timeout=60)) as connection:
            connection.request("GET", f"/big/{BIG_MB}")
            response = connection.getresponse()
            while chunk := response.read(2**20):
                length += len(chunk)
    finally:
        over.set()
        looker.join()
    assert length == BIG_MB * 2**20
    assert max(seen) - before < GROWTH_BYTES


@on([pair for pair in PAIRS if pair[1] == "fastapi"])
def test_a_websocket_is_as_without(served: Served) -> None:
    assert talked(served.port) == "said hello"


def talked(port: int) -> str:
    """What the echo says, by the least of the protocol (RFC 6455)."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(
            b"GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        assert head.startswith(b"HTTP/1.1 101"), head
        mask, text = b"\x01\x02\x03\x04", b"hello"
        masked = bytes(each ^ mask[at % 4] for at, each in enumerate(text))
        client.sendall(bytes((0x81, 0x80 | len(text))) + mask + masked)
        frame = b""
        while len(frame) < 2 or len(frame) < 2 + frame[1]:
            frame += client.recv(100)
        return frame[2 : 2 + frame[1]].decode()


@pytest.mark.parametrize(("server", "site"), PAIRS)
def test_a_server_ends_in_order_while_it_serves(server: str, site: str, tmp_path: Path) -> None:
    with serving(server, site, tmp_path) as made:
        served_pages = [made.ask("/page")[0] for _ in range(3)]
        made.process.send_signal(signal.SIGTERM)
        assert made.process.wait(15) in {0, -signal.SIGTERM}
    assert served_pages == [200, 200, 200]
    if site == "fastapi" and server not in NO_LIFESPAN:
        assert (tmp_path / "down").exists()
