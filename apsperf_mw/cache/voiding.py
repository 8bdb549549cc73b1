"""What the success of an unsafe request makes void (RFC 9111 §4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apsperf_mw.cache.keys import neighbours

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from apsperf_mw.cache.faces import Face
    from apsperf_mw.cache.flow import Cache
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.exchange import Exchange
    from apsperf_mw.http.queries import QueryForm

POINTERS = frozenset({b"location", b"content-location"})


async def invalidate(
    cache: Cache, x: Exchange, headers: Iterable[Sequence[bytes]], face: Face
) -> None:
    """Make void what is stored under the URL, and under those of the same origin it points to."""
    if x.key is None or not 200 <= x.status < 400:
        return
    for key in (x.key, *_pointed_at(x.key, headers, cache.query_form)):
        await cache.erase(key, face)
    cache.adopt(x, tuple((bytes(name), bytes(value)) for name, value in headers))


def _pointed_at(key: Key, headers: Iterable[Sequence[bytes]], form: QueryForm) -> Iterator[Key]:
    for name, value in headers:
        if bytes(name).lower() in POINTERS:
            yield from neighbours(key, bytes(value), form)
