"""The front page, in HTML."""

from html import escape

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from apsperf_fastapi import cached
from examples.records import reading
from examples.records.schemas import BestSellerOut, NamedOut

from .session import SessionIn

router = APIRouter()

FRONT_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Chinook Records</title>
<h1>Chinook Records</h1>
<form action="/search"><input name="q" minlength="2" required> <button>Search</button></form>
<h2>Best sellers</h2>
<ol>
{best_sellers}
</ol>
<h2>Genres</h2>
<ul>
{genres}
</ul>
<p><a href="/artists">Artists</a> <a href="/charts">Charts</a> <a href="/docs">API</a></p>
</html>
"""


@router.get("/", response_class=HTMLResponse)
@cached(ttl="short", tags=["sales"], shared=True)
def front(session: SessionIn) -> str:
    """The ten best sellers, and the way to the rest."""
    return FRONT_PAGE.format(
        best_sellers="\n".join(map(_best_seller, reading.best_sellers(session, 10))),
        genres="\n".join(
            _link("genres", genre.id, genre.name) for genre in reading.genres(session)
        ),
    )


def _best_seller(track: BestSellerOut) -> str:
    return _link("tracks", track.id, f"{track.name} ({track.artist})")


def _genre(genre: NamedOut) -> str:
    return _link("genres", genre.id, genre.name)


def _link(kind: str, number: int, text: str) -> str:
    return f'<li><a href="/{kind}/{number}">{escape(text)}</a></li>'
