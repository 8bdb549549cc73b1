"""What is asked of the shops: a real access log with the shop's pages in place of its own.

The log's most requested path becomes the shop's first page, the next one the second, and so on;
order and repetition stay the log's. So popularity is real while the pages are the shop's.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import sqlite3
import zlib
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from examples.records.database import CHINOOK
from examples.records.seals import COOKIE, STAFF, seal

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG = Path(__file__).resolve().parents[1] / "data" / "access.log.gz"
CHUNK = 200
CUSTOMERS = 59
ALBUM = "/albums/141"
TRACKS = range(1702, 1717)
PRIVATE = "/customers/me"
# What the most requested paths become; the rest is drawn from the catalogue.
FRONT = (
    "/",
    "/charts",
    ALBUM,
    "/artists",
    "/genres",
    f"{ALBUM}/reviews",
    PRIVATE,
    "/feed",
    "/search?q=love",
)
# Shares of the catalogue's kinds of pages.
SHARES = {"albums": 8, "tracks": 5, "artists": 4, "search": 3, "genres": 1, "missing": 1}
PRICE_EVERY = 5

_LINE = re.compile(r'(\S+) \S+ \S+ \[[^\]]+\] "GET (\S+) HTTP/1\.[01]" 200 ')


@dataclass(frozen=True, slots=True)
class Ask:
    """One request; `fields` are header fields beside Host."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Reads that may be under way together, then one write that comes alone."""

    reads: list[Ask]
    write: Ask


def read_log(file: Path = LOG) -> list[tuple[str, str]]:
    """The client and the path of each successful GET, in the log's order."""
    with gzip.open(file, "rt", encoding="utf-8", errors="replace") as lines:
        return [match.group(1, 2) for match in map(_LINE.match, lines) if match]  # type: ignore[misc]


def workload(requests: int, seed: int, secret: str) -> list[Chunk]:
    """So many reads in chunks; past its end the log begins again."""
    log = read_log()
    page_of = _pages_by_rank(log, seed)
    reads = (_read(client, page_of[path], secret) for client, path in islice(cycle(log), requests))
    chunks: list[Chunk] = []
    while batch := list(islice(reads, CHUNK)):
        chunks.append(Chunk(batch, _write(len(chunks), seed, secret)))
    return chunks


def _pages_by_rank(log: list[tuple[str, str]], seed: int) -> dict[str, str]:
    # Equal counts stay in the order of their first request, so the ranking is the same each time.
    ranked = Counter(path for _, path in log).most_common()
    return dict(zip((path for path, _ in ranked), _pages(random.Random(seed)), strict=False))


def _pages(draw: random.Random) -> Iterator[str]:
    """The shop's pages without end, each once until a kind runs out."""
    yield from FRONT
    stock = {kind: cycle(pages) for kind, pages in _catalogue(draw).items()}
    kinds, shares = list(SHARES), list(SHARES.values())
    while True:
        kind = draw.choices(kinds, shares)[0]
        yield next(stock[kind])


def _catalogue(draw: random.Random) -> dict[str, list[str]]:
    """Every page of each kind, shuffled."""
    with closing(sqlite3.connect(f"{CHINOOK.as_uri()}?mode=ro", uri=True)) as chinook:
        numbers = {
            kind: [number for (number,) in chinook.execute(f'SELECT {table}Id FROM "{table}"')]
            for kind, table in {"albums": "Album", "tracks": "Track", "artists": "Artist"}.items()
        }
        titles = " ".join(title for (title,) in chinook.execute("SELECT Title FROM Album"))
    pages = {kind: [f"/{kind}/{number}" for number in found] for kind, found in numbers.items()}
    words = sorted({word.lower() for word in re.findall(r"[^\W\d_]{4,}", titles)})
    pages["search"] = [f"/search?q={quote(word)}" for word in words]
    pages["genres"] = [f"/genres/{genre}?page={page}" for page in (1, 2) for genre in range(1, 26)]
    pages["missing"] = [f"/records/{number}" for number in range(100)]
    for kind, all_of_kind in pages.items():
        pages[kind] = [page for page in all_of_kind if page not in FRONT]
        draw.shuffle(pages[kind])
    return pages


def session_cookie(customer: int, secret: str) -> str:
    """What a customer's browser sends once signed in."""
    return f"{COOKIE}={seal(str(customer), secret)}"


def _read(client: str, page: str, secret: str) -> Ask:
    """A GET; only the private page is asked with the client's cookie."""
    return Ask("GET", page, (_cookie(client, secret),) if page == PRIVATE else ())


def _cookie(client: str, secret: str) -> tuple[str, str]:
    """Each client of the log is one of the shop's customers."""
    return "Cookie", session_cookie(zlib.crc32(client.encode()) % CUSTOMERS + 1, secret)


def _write(number: int, seed: int, secret: str) -> Ask:
    """A review of an album; every fifth time a new price for one of its tracks."""
    draw = random.Random(seed + number)
    if number % PRICE_EVERY == PRICE_EVERY - 1:
        staff = ("Authorization", f"Bearer {seal(STAFF, secret)}")
        price = {"price": draw.randrange(50, 200) / 100}
        return _send("PUT", f"/tracks/{draw.choice(TRACKS)}/price", staff, price)
    review = {"stars": draw.randrange(1, 6), "text": f"Review {number}"}
    return _send("POST", f"{ALBUM}/reviews", _cookie(str(number), secret), review)


def _send(method: str, target: str, credentials: tuple[str, str], content: object) -> Ask:
    fields = (("Content-Type", "application/json"), credentials)
    return Ask(method, target, fields, json.dumps(content).encode())
