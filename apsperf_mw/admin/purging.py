"""The method PURGE: what is stored of the URL that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apsperf_mw.admin.api import guarded, purge, said
from apsperf_mw.cache.tags import Purge, place_of
from apsperf_mw.errors import SettingError

if TYPE_CHECKING:
    from apsperf_mw.admin.api import House, Reply
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.exchange import Exchange
    from apsperf_mw.shell import Gate

MODE = b"apsperf-purge"


async def purge_url(house: House, gate: Gate, x: Exchange) -> Reply:
    """Purge what a GET of the same URL would find; soft, unless APSPerf-Purge says `hard`."""
    mode = b",".join(x.fields(MODE)).strip().lower()
    if mode not in {b"", b"soft", b"hard"}:
        return said(400, error="APSPerf-Purge: accepted: soft or hard")
    gate.admit(x)
    if x.key is None:
        reason = f"requests like this one go round the cache ({x.detail or x.result})"
        return said(409, error=f"nothing to purge: {reason}")
    urls = urls_of(x.key)
    if not urls:
        return said(409, error="not purged: no text names this URL; purge it by tag or prefix")
    return await guarded(house, purge(house, Purge(urls=urls, hard=mode == b"hard")))


def urls_of(key: Key) -> tuple[str, ...]:
    """The URL under both schemes, for a proxy that ends TLS may let the app see either.

    None where the text would be read as another URL, or is too long to be kept.
    """
    if len(key) != 6:
        return ()
    scheme, host, _, _, raw, query = map(str, key)
    rest = f"{raw}?{query}" if query else raw
    if not host:
        return (rest,) if _reads_as(rest, "", raw, query) else ()
    if not _reads_as(f"{scheme}://{host}{rest}", host, raw, query):
        return ()
    return tuple(f"{each}://{host}{rest}" for each in ("http", "https"))


def _reads_as(url: str, host: str, path: str, query: str) -> bool:
    try:
        return place_of(url)[1:] == (host, path, query)
    except SettingError:
        return False
