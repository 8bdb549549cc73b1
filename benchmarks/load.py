"""A load generator in a process of its own: `python -m benchmarks.load PORT REQUESTS CONNECTIONS`.

Keeps each connection busy with one request at a time, by plain sockets and one selector, because
a client that costs more than the server would measure itself. Prints the seconds taken.
"""

from __future__ import annotations

import selectors
import socket
import sys
from time import perf_counter

from benchmarks.shells import FIELDS, PATH

TIMEOUT_S = 20.0
_HEAD_END = b"\r\n\r\n"


class LoadError(Exception):
    """A response that should not be, or none in time."""


class Connection:
    """One connection; opened anew where the server closes it after a response."""

    def __init__(self, port: int, selector: selectors.BaseSelector) -> None:
        self._port = port
        self._selector = selector
        self._ask = request(port)
        self._open()

    def ask(self) -> None:
        """Send the request."""
        self._head, self._left = b"", -1
        self._socket.sendall(self._ask)

    def read(self) -> bool:
        """Read what has come; whether the response is complete."""
        data = self._socket.recv(65_536)
        if not data:
            raise LoadError("the server closed the connection within a response")
        self._take(data)
        if self._left != 0:
            return False
        if b"connection: close" in self._head.lower():
            self.close()
            self._open()
        return True

    def close(self) -> None:
        """Close it."""
        self._selector.unregister(self._socket)
        self._socket.close()

    def _take(self, data: bytes) -> None:
        if self._left < 0:  # the length is not known before the head is complete
            self._head, end, data = (self._head + data).partition(_HEAD_END)
            if not end:
                return
            self._left = body_bytes(self._head)
        self._left -= len(data)

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(self._socket, selectors.EVENT_READ, self)


def request(port: int) -> bytes:
    """The request, with the ten fields that the in-process cases have too."""
    fields = {**dict(FIELDS), "host": f"127.0.0.1:{port}"}
    lines = [f"GET {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def body_bytes(head: bytes) -> int:
    """The announced length of a good response; `LoadError` for any other."""
    lines = head.lower().split(b"\r\n")
    if b" 200 " not in lines[0] + b" ":
        raise LoadError(f"the server answered {lines[0]!r}")
    for line in lines:
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    raise LoadError("the response has no Content-Length")


def load_s(port: int, requests: int, connections: int) -> float:
    """Seconds that so many requests take over so many connections."""
    with selectors.DefaultSelector() as selector:
        pool = [Connection(port, selector) for _ in range(min(connections, requests))]
        began = perf_counter()
        _run(selector, pool, requests)
        taken_s = perf_counter() - began
        for connection in pool:
            connection.close()
    return taken_s


def _run(selector: selectors.BaseSelector, pool: list[Connection], requests: int) -> None:
    for connection in pool:
        connection.ask()
    to_send, to_come = requests - len(pool), requests
    while to_come:
        ready = selector.select(TIMEOUT_S)
        if not ready:
            raise LoadError(f"no response within {TIMEOUT_S:.0f} s")
        for key, _ in ready:
            connection = key.data
            if connection.read():
                to_come -= 1
                if to_send:
                    to_send -= 1
                    connection.ask()


if __name__ == "__main__":
    print(load_s(*map(int, sys.argv[1:4])))
