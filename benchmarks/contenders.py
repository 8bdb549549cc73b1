"""The bare apps, and the least that could be called a response cache: a dict round them.

The dict caches are what one writes in ten minutes. They know no Vary, no Age, no cookies, no
validators and no single flight, and they hand out what they keep; a floor, not an example.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    Fields = tuple[tuple[str, str], ...]

    from apsperf_mw.asgi import ASGIApp, Message, Receive, Scope, Send
    from apsperf_mw.wsgi import StartResponse, Write, WSGIApp

BODY = b"<p>record shop</p>\n".ljust(2048, b".")
FRESH = "public, max-age=3600"
PRIVATE = "private, no-store"
# Stale at once, and served while it is fetched anew.
STALE = "max-age=0, stale-while-revalidate=3600"
VARIED = (("vary", "accept-language, accept-encoding"), ("cache-tag", "album:23, artist:7, shop"))
ETAG = '"5f2a-2048"'
MOST_KEPT = 65_536

Kept = TypeVar("Kept")


def asgi_app(cache_control: str, more: Fields = ()) -> ASGIApp:
    """A raw ASGI app with a body of 2 KB; everything but the body is made for each response."""
    control, etag = cache_control.encode(), ETAG.encode()
    raw = [(name.encode(), value.encode()) for name, value in more]

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-length", b"2048"),
            (b"cache-control", control),
            (b"etag", etag),
            *raw,
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": BODY})

    return app


def wsgi_app(cache_control: str, more: Fields = ()) -> WSGIApp:
    """A raw WSGI app with a body of 2 KB."""

    def app(_environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        headers = [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", "2048"),
            ("Cache-Control", cache_control),
            ("ETag", ETAG),
            *more,
        ]
        start_response("200 OK", headers)
        return [BODY]

    return app


class Shelf(Generic[Kept]):
    """Responses by method, path and query, each for a time; the oldest go when there are many."""

    def __init__(self, ttl_s: float, most: int) -> None:
        self._ttl_s = ttl_s
        self._most = most
        self._kept: dict[tuple[str, str, str | bytes], tuple[float, Kept]] = {}

    def find(self, key: tuple[str, str, str | bytes]) -> Kept | None:
        """What is kept under the key and still fresh."""
        found = self._kept.get(key)
        return found[1] if found is not None and found[0] > monotonic() else None

    def keep(self, key: tuple[str, str, str | bytes], kept: Kept) -> None:
        """Keep it for the time to live."""
        while len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (monotonic() + self._ttl_s, kept)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()


class DictASGI:
    """A dict round an ASGI app."""

    def __init__(self, app: ASGIApp, ttl_s: float = 3600.0, most: int = MOST_KEPT) -> None:
        self._app = app
        self.shelf: Shelf[list[MutableMapping[str, Any]]] = Shelf(ttl_s, most)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what is kept, or keep what the app sends."""
        key = (scope["method"], scope["path"], scope["query_string"])
        messages = self.shelf.find(key)
        if messages is not None:
            for message in messages:
                await send(message)
            return
        sent: list[MutableMapping[str, Any]] = []

        async def record(message: Message) -> None:
            sent.append(message)
            await send(message)

        await self._app(scope, receive, record)
        if sent[0]["status"] == 200:
            self.shelf.keep(key, sent)


class DictWSGI:
    """A dict round a WSGI app."""

    def __init__(self, app: WSGIApp, ttl_s: float = 3600.0, most: int = MOST_KEPT) -> None:
        self._app = app
        self.shelf: Shelf[tuple[str, list[tuple[str, str]], bytes]] = Shelf(ttl_s, most)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve what is kept, or keep what the app returns."""
        key = (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"])
        kept = self.shelf.find(key)
        if kept is not None:
            start_response(kept[0], kept[1])
            return [kept[2]]
        heads: list[tuple[str, list[tuple[str, str]]]] = []

        def record(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Write:
            heads.append((status, headers))
            return start_response(status, headers, *exc_info)

        body = b"".join(self._app(environ, record))
        status, headers = heads[-1]
        if status.startswith("200"):
            self.shelf.keep(key, (status, headers, body))
        return [body]


DictCache = DictASGI | DictWSGI
